vm "custom" {
  strategy = "custom"
  elixir = "1.18"
  otp {
    version = "29"
  }
}
