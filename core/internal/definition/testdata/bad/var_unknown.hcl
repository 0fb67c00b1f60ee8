# --var ap=examples/hello_world
variable "app" {
  default = ""
}

vm "custom" {
  strategy = "custom"
}
