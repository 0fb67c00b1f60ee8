vm "custom" {
  strategy = "custom"
  arch     = "x86_64"
  arch     = "aarch64"
}
