vm "custom" {
  strategy = "custom"

  custom {
    fragments = "base"
    busybox   = "perhaps"
  }
}
