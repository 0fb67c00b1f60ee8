variable "arch" {
  default = "x86_64"
}

variable "name" {
  default = upper(var.arch)
}

vm "custom" {
  strategy = "custom"
}
