vm "custom" {
  strategy = "custom"
  elixir = "v1.18.3"
}
