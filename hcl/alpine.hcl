# Alpine Linux: musl, BusyBox and BEAM from Alpine's packages, under our own
# small kernel. No daemon, no root: the packages are unpacked by leanlab, their
# signatures checked.
#
#   make vm STRATEGY=alpine                              the example app
#   make vm STRATEGY=alpine APP=path/to/mix/project      yours
#   make vm STRATEGY=alpine VARS='packages=["tzdata"]'   with more of Alpine
#   make vm STRATEGY=alpine VARS=engine=podman           compiled in a container, for NIFs

leanlab {
  required_version = ">= 0.1"
}

variable "app" {
  type        = string
  default     = "examples/hello_world"
  description = "Mix project to put in the VM; empty for an iex console."
}

variable "arch" {
  type        = string
  default     = "x86_64"
  description = "x86_64 or aarch64."
}

variable "engine" {
  type        = string
  default     = "apk"
  description = "apk: leanlab unpacks the packages; podman, buildah or docker: containers/alpine/Dockerfile is built."
}

variable "release" {
  type        = string
  default     = "3.22"
  description = "Alpine's release series, 3.18 or later."
}

variable "packages" {
  type        = list(string)
  default     = []
  description = "Packages beside musl, BusyBox and BEAM, as apk add takes them."
}

variable "mirrors" {
  type        = list(string)
  default     = ["https://dl-cdn.alpinelinux.org/alpine"]
  description = "Alpine's mirrors in the order in which they are tried: URLs or directories."
}

variable "keys" {
  type        = list(string)
  default     = []
  description = "Public keys of a mirror that is not signed by Alpine; empty for Alpine's own."
}

variable "kernel" {
  type        = string
  default     = "custom"
  description = "custom: our own small kernel; alpine: the package linux-virt."
}

variable "keep" {
  type        = list(string)
  default     = []
  description = "OTP applications or modules that stay although nothing that can be seen calls them."
}

variable "expect" {
  type        = list(string)
  default     = []
  description = "What the console must show before the VM counts as working."
}

locals {
  is_example = var.app == "examples/hello_world"
  expect     = local.is_example && length(var.expect) == 0 ? ["Hello from Elixir"] : var.expect
  own_kernel = var.kernel == "custom"
}

vm "alpine" {
  strategy = "alpine"
  arch     = var.arch
  elixir   = "1.18" # compiled here: its modules are the same everywhere

  app {
    path = var.app
    user = "app"
  }

  otp {
    version  = "27"      # the series of both the packages and the compiler
    emulator = "jit"     # what Alpine's package holds
    link     = "dynamic" # against musl
  }

  lean {
    level = "closure"
    keep  = var.keep
  }

  output {
    formats     = ["bundle"]
    compression = "zstd"
  }

  budget {
    size   = local.own_kernel ? "12MB" : "24MB" # Alpine's kernel alone has 10
    memory = "128MiB"
  }

  proof {
    expect  = local.expect
    timeout = "5m"
  }

  alpine {
    engine    = var.engine
    release   = var.release
    packages  = var.packages
    mirrors   = var.mirrors
    keys      = var.keys
    kernel    = var.kernel
    linux     = "6.12"                    # our own kernel's series
    fragments = ["base", "virtio", "net"] # and its configuration: kernel-configs/*.config
    overlays  = ["common"]
  }
}
