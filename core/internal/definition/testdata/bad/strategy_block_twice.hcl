vm "custom" {
  strategy = "custom"
  custom {
    busybox = true
  }
  custom {
    busybox = false
  }
}
