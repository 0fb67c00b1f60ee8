vm "custom" {
  strategy = "custom"
  arch = "x86_64"
}

vm "custom" {
  strategy = "custom"
  arch     = "aarch64"
}
