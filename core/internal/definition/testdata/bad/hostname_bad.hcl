vm "custom" {
  strategy = "custom"
  hostname = "My Host"
}
