strategy = "custom"

vm "custom" {
  strategy = "custom"
}
