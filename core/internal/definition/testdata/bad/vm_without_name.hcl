vm {
  strategy = "custom"
}
