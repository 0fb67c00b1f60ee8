# --var app
variable "app" {
  default = ""
}

vm "custom" {
  strategy = "custom"
}
