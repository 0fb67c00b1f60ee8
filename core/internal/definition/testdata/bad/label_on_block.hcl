vm "custom" {
  strategy = "custom"
  otp "27" {
    link = "static"
  }
}
