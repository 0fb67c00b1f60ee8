variable "app" {
  type = string
}

vm "custom" {
  strategy = "custom"
  arch     = "arm64"

  app {
    path = var.app
  }

  otp {
    version  = "26.2"
    emulater = "jit"
  }

  budget {
    size = "100kB"
  }

  custom {
    fragments = ["base"]
  }
}

vm "other" {
  strategy = "custom"
  lean {
    level = "none "
  }
}
