vm "custom" {
  strategy = "custom"
  app {
    path = ""
    user = "nobody"
  }
}
