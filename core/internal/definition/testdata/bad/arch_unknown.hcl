vm "custom" {
  strategy = "custom"
  arch = "riscv64"
}
