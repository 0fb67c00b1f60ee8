vm "custom" {
  strategy = "custom"
  output {
    formats = []
  }
}
