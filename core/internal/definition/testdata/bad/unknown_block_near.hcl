vm "custom" {
  strategy = "custom"
  budgets {
    size = "8MB"
  }
}
