vm "custom" {
  strategy = "custom"
  network {
    dhcp = true
  }
}
