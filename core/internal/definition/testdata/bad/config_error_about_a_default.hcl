vm "custom" {
  strategy = "custom"

  custom {
    kernel    = "6.12"
    fragments = []
    cmdline   = ""
  }
}
