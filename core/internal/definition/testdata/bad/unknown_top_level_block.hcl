vm "custom" {
  strategy = "custom"
}

variables "app" {
  default = ""
}
