vm "custom" {
  strategy = "custom"

  custom {
    fragments = [
      "base",
      "vritio",
    ]
  }
}
