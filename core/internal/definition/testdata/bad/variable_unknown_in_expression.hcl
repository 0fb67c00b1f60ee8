variable "app" {
  default = ""
}

vm "custom" {
  strategy = "custom"
  app {
    path = var.ap
  }
}
