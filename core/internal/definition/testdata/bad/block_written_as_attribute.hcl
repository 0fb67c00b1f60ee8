vm "custom" {
  strategy = "custom"
  app = "examples/hello_world"
}
