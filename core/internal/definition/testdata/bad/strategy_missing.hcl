vm "custom" {
  arch = "x86_64"

  custom {
    busybox = true
  }
}
