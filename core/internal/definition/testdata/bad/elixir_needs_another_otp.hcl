vm "custom" {
  strategy = "custom"
  elixir = "1.17"

  otp {
    version = "29"
  }
}
