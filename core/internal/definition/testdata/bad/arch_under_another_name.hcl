vm "custom" {
  strategy = "custom"
  arch = "amd64"
}
