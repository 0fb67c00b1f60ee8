vm "custom" {
  strategy = "custom"
  proof {
    memory = "128MB"
  }
}
