# --var-file nowhere.leanvars
vm "custom" {
  strategy = "custom"
}
