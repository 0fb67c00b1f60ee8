vm "custom" {
  strategy = "custom"

  custom "small" {
    busybox = true
  }
}
