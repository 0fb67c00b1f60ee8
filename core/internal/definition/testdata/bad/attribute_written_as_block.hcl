vm "custom" {
  strategy = "custom"
  arch {
    name = "x86_64"
  }
}
