vm "custom" {
  strategy = "custom"
  architecture = "x86_64"
  hostnam  = "one"
}
