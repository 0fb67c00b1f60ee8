leanlab {
  required_version = ">= 2.0"
}

vm "custom" {
  stratgy = "custom"
}
