vm "custom" {
  strategy = "custom"
  app {
    path = "app"
  }
  proof {
    http {
      path = "/health"
    }
    http {
      port  = "eighty"
      verb  = "POST"
      state = 200
    }
    http "health" {
      port = null
    }
  }
}
