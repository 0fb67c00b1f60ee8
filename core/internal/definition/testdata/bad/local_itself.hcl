locals {
  name = "${local.name}!"
}

vm "custom" {
  strategy = "custom"
  hostname = local.name
}
