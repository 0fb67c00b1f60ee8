# --var keep=ssl
variable "keep" {
  type    = list(string)
  default = []
}

vm "custom" {
  strategy = "custom"
  lean {
    keep = var.keep
  }
}
