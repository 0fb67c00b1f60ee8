vm "hello_world" {
  strategy = "custom"
}
