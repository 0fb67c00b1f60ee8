# A VM built by Buildroot, from the external tree in buildroot-external/: for
# teams that live in Buildroot, and for whatever it has a package of.
#
#   make vm STRATEGY=buildroot                                  the example app
#   make vm STRATEGY=buildroot BUILDROOT_DIR=path/to/buildroot  with a Buildroot that is here
#   make vm STRATEGY=buildroot VARS="toolchain=host"            without half an hour for a toolchain; for trying out
#
# What goes into the root is said in
# buildroot-external/configs/leanlab_ARCH_defconfig; `make menuconfig
# STRATEGY=buildroot` edits it.

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

variable "emulator" {
  type        = string
  default     = "interpreter"
  description = "interpreter or jit."
}

variable "link" {
  type        = string
  default     = "static"
  description = "static or dynamic."
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

variable "buildroot_dir" {
  type        = string
  default     = ""
  description = "A Buildroot on this machine; empty: the release below."
}

variable "toolchain" {
  type        = string
  default     = ""
  description = "internal, external or host; empty: as the defconfig says."
}

variable "packages" {
  type        = list(string)
  default     = []
  description = "More packages of Buildroot's for the root, such as htop."
}

variable "dl_dir" {
  type        = string
  default     = ""
  description = "A download directory that is shared with other Buildroots; empty: leanlab's own."
}

locals {
  is_example = var.app == "examples/hello_world"
  expect     = local.is_example && length(var.expect) == 0 ? ["Hello from Elixir"] : var.expect
}

vm "buildroot" {
  strategy = "buildroot"
  arch     = var.arch
  elixir   = "1.18"

  app {
    path = var.app
    user = "app"
  }

  otp {
    version  = "27"
    emulator = var.emulator
    link     = var.link
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
    size   = "9MB" # BusyBox links to a shared C library here, which the custom strategy has not
    memory = "64MiB"
  }

  proof {
    expect  = local.expect
    timeout = "5m"
  }

  buildroot {
    buildroot     = "2026.05"         # a series; the lock file pins the release
    buildroot_dir = var.buildroot_dir # takes its place
    kernel        = "6.12"            # as in the custom strategy; without it, the version in the defconfig
    toolchain     = var.toolchain
    packages      = var.packages
    dl_dir        = var.dl_dir
  }
}
