vm "custom" {
  strategy = "custom"

  custom {
    kernel = 6.10
  }
}
