vm "custom" {
  strategy = "custom"
  costum {
    busybox = true
  }
}
