# LEANLAB_VAR_jobs=many
variable "jobs" {
  type    = number
  default = 1
}

vm "custom" {
  strategy = "custom"
}
