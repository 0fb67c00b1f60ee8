vm "custom" {
  strategy = "custom"
  lean {
    keep = ["ssl", null]
  }
}
