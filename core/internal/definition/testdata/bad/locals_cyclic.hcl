locals {
  a = "${local.b}-vm"
  b = local.c
  c = upper(local.a)
}

vm "custom" {
  strategy = "custom"
  hostname = local.a
}
