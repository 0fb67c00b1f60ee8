locals {
  overlays = ["common", "nfs"]
}

vm "custom" {
  strategy = "custom"

  custom {
    overlays = local.overlays
  }
}
