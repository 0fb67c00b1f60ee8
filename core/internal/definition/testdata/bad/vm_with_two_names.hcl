vm "custom" "small" {
  strategy = "custom"
}
