vm "custom" {
  strategy = "custom"
  otp {
    version = "latest"
  }
}
