vm "custom" {
  strategy = null
}
