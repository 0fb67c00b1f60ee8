vm "custom" {
  strategy = "custom"

  custom {
    disk {
      size = "1GB"
    }
  }
}
