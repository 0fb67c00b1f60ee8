vm "custom" {
  strategy = "custom"
  elixir = "1.81"
}
