vm "custom" {
  strategy "custom"
}
