vm "custom" {
  strategy = "custom"
  budget {
    size   = "small"
    memory = "3 parsecs"
  }
}
