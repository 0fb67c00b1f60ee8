variable "keep" {
  type    = list(string)
  default = "ssl"
}

vm "custom" {
  strategy = "custom"
  lean {
    keep = var.keep
  }
}
