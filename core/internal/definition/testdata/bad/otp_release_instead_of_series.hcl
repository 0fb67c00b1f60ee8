vm "custom" {
  strategy = "custom"
  otp {
    version = "27.3.4"
  }
}
