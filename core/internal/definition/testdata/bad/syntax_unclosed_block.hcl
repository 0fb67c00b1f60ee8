vm "custom" {
  strategy = "custom"

  otp {
    version = "27"
