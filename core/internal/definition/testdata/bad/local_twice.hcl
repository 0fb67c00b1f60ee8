locals {
  name = "one"
}

locals {
  name = "two"
}

vm "custom" {
  strategy = "custom"
}
