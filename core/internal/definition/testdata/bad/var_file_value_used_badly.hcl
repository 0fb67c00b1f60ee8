# --var-file small.leanvars
variable "size" {
  type    = string
}

vm "custom" {
  strategy = "custom"
  budget {
    size = var.size
  }
}
