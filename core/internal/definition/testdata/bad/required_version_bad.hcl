leanlab {
  required_version = "two"
}

vm "custom" {
  strategy = "custom"
}
