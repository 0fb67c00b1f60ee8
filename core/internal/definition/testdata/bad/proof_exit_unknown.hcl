vm "custom" {
  strategy = "custom"
  app {
    path = "app"
  }
  proof {
    exit = "0"
  }
}
