vm "custom" {
  strategy = "custom"

  custom {
    fragmets = ["base"]
    swap     = true
  }
}
