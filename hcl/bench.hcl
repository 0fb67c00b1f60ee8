# The images that docs/benchmarks.md compares: the example app with each emulator,
# each kind of root and each lean level. `make bench` builds them all, one after the
# other, and measures them.
#
#   leanlab build -f hcl/bench.hcl --as jit-zstd-closure --var emulator=jit --var root=zstd --var level=closure

leanlab {
  required_version = ">= 0.1"
}

variable "emulator" {
  type        = string
  default     = "interpreter"
  description = "interpreter or jit."
}

variable "root" {
  type        = string
  default     = "zstd"
  description = "zstd or xz: an initramfs that is packed with it; disk: a squashfs in zstd on a disk."
}

variable "level" {
  type        = string
  default     = "closure"
  description = "Lean level: none, strip or closure."
}

locals {
  # What the kernel needs for each root, beside what every kernel has.
  fragments = {
    zstd = []
    xz   = ["initramfs-xz"]
    disk = ["squashfs"]
  }
}

vm "bench" {
  strategy = "custom"
  elixir   = "1.18"

  app {
    path = "examples/hello_world"
  }

  otp {
    version  = "27"
    emulator = var.emulator
  }

  lean {
    level = var.level
  }

  output {
    root        = var.root == "disk" ? "disk" : "initramfs"
    compression = var.root == "xz" ? "xz" : "zstd"
  }

  # No budget: what a choice costs is what is to be seen.

  proof {
    expect  = ["Hello from Elixir"]
    timeout = "10m"
    memory  = "256MiB" # an initramfs with everything in it is unpacked into RAM
  }

  custom {
    kernel    = "6.12"
    fragments = concat(["base", "virtio", "net"], local.fragments[var.root])
    overlays  = ["common"]
    busybox   = true
  }
}
