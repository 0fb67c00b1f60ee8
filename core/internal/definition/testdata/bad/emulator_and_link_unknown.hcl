vm "custom" {
  strategy = "custom"
  otp {
    emulator = "JIT"
    link     = "statically"
  }
}
