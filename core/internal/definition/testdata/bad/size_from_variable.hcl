# --var size=8M
variable "size" {
  type    = string
  default = "8MB"
}

vm "custom" {
  strategy = "custom"
  budget {
    size = var.size
  }
}
