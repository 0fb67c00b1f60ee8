variable "app" {
  type    = string
  default = ""
}
