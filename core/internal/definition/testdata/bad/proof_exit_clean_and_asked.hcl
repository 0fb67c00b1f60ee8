vm "custom" {
  strategy = "custom"
  app {
    path = "app"
  }
  proof {
    exit = "clean"
    http {
      port = 4000
    }
  }
}
