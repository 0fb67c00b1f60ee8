vm "custom" {
  strategy = "custom"
  otp {
    verison = "27"
    jit     = true
  }
}
