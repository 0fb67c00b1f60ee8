vm "custom" {
  strategy = "custom"
  proof {
    eval {
      code   = " "
      result = ""
    }
    eval {
      code = "1 + 1"
    }
  }
}
