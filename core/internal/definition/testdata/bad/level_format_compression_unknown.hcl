vm "custom" {
  strategy = "custom"
  lean {
    level = "stripped"
  }
  output {
    formats     = ["bundle", "qcow2", "bundle"]
    root        = "disc"
    compression = "gzip"
  }
}
