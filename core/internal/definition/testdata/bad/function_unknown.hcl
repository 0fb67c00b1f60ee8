vm "custom" {
  strategy = "custom"
  hostname = uper("one")
}
