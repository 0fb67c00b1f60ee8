vm "custom" {
  strategy = "custom"
  budget {
    size = "8MB"
  }

  budget {
    memory = "64MiB"
  }
}
