vm "custom" {
  strategy = "custom"
  budget {
    size   = "8M"
    memory = "64Mi"
  }
}
