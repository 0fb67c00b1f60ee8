vm "custom" {
  strategy = "custom"
  budget {
    size   = "-8MB"
    memory = "99999999999GB"
  }
}
