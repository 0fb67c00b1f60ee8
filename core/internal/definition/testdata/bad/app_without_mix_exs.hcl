# --var app=../bad
variable "app" {
  type = string
}

vm "custom" {
  strategy = "custom"
  app {
    path = var.app
  }
}
