vm "custom" {
  strategy = "custom"
  http {
    port = 4000
  }
}
