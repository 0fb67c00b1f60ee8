variable "keep" {
  tpye    = string
  default = ""
}

vm "custom" {
  strategy = "custom"
}
