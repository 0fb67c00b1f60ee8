# --var app=
variable "app" {
  type = string
}
vm "custom" {
  strategy = "custom"
  app {
    path = var.app
  }
  proof {
    http {
      port = 4000
    }
  }
}
vm "other" {
  strategy = "custom"
  proof {
    exit = "clean"
  }
}
