vm "custom" {
  strategy = "custom"
  budget {
    size   = "400kB"
    memory = "8MiB"
  }
}
