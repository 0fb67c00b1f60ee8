# --var busybox=maybe
variable "busybox" {
  type    = bool
  default = true
}

vm "custom" {
  strategy = "custom"
}
