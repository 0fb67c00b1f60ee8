vm "custom" {
  strategy = "custom"
  buildroot {
    defconfig = "x"
  }
}
