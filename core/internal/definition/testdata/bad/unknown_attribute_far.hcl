vm "custom" {
  strategy = "custom"
  colour = "blue"
}
