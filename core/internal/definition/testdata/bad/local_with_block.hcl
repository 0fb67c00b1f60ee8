locals {
  name {
    a = 1
  }
}

vm "custom" {
  strategy = "custom"
}
