variable "app" {
  default = "a"
}

variable "app" {
  default = "b"
}

vm "custom" {
  strategy = "custom"
}
