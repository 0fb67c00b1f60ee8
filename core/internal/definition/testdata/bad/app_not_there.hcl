vm "custom" {
  strategy = "custom"
  app {
    path = "no/such/project"
  }
}
