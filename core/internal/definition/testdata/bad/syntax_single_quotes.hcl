vm "custom" {
  strategy = 'custom'
}
