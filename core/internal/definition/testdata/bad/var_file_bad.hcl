# --var-file bad.leanvars
variable "keep" {
  type    = list(string)
  default = []
}

vm "custom" {
  strategy = "custom"
}
