vm "custom" {
  strategy = "custom"
  budget {
    size   = "8mb"
    memory = "64 MiB"
  }
}
