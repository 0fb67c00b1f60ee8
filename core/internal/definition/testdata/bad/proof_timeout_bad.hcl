vm "custom" {
  strategy = "custom"
  proof {
    timeout = "five minutes"
    expect  = ["Hello", ""]
  }
}
