variable "name" {
  default = "one"
}

vm "custom" {
  strategy = "custom"
  hostname = join("-", var.name)
}
