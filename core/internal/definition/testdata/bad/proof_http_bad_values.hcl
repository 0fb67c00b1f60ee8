vm "custom" {
  strategy = "custom"
  app {
    path = "app"
  }
  proof {
    http {
      port = 4000
    }
    http {
      port   = 65536
      path   = "health"
      status = 700
    }
    http {
      port = 40.5
      path = "/a b"
    }
  }
}
