vm "custom" {
  strategy = "custom"
  app {
    release = "hello"
  }
}
