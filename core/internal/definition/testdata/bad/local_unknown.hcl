locals {
  name = "one"
}

vm "custom" {
  strategy = "custom"
  hostname = local.nmae
}
