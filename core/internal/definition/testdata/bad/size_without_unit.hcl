vm "custom" {
  strategy = "custom"
  budget {
    size = 8000000
  }
}
