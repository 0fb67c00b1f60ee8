vm "custom" {
  strategy = "custon"
}
