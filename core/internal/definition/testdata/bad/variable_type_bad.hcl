variable "keep" {
  type = "list"
}

vm "custom" {
  strategy = "custom"
}
