vm "custom" {
  strategy = "custom"
  app {
    path = ""
    env = {
      "MY-NAME" = "x"
      MOTD      = "one\ntwo"
      GOOD      = "yes"
    }
  }
}
