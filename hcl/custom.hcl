# The smallest VM: our own kernel, BusyBox, OTP and Elixir, compiled here from
# source, and nothing else.
#
#   make vm                                  the example app
#   make vm APP=path/to/mix/project          yours
#   make vm APP=                             an iex console

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

variable "root" {
  type        = string
  default     = "initramfs"
  description = "initramfs or disk: what the root file system is in."
}

variable "compression" {
  type        = string
  default     = "zstd"
  description = "zstd or xz."
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
  # The example says what it prints. Another app's output is known only to
  # whoever gives it, with --var 'expect=["…"]'.
  is_example = var.app == "examples/hello_world"
  expect     = local.is_example && length(var.expect) == 0 ? ["Hello from Elixir"] : var.expect

  # What the kernel must hold beyond the default to get at its root.
  root_fragments = var.root == "disk" ? ["squashfs"] : var.compression == "xz" ? ["initramfs-xz"] : []
}

vm "custom" {
  strategy = "custom"
  arch     = var.arch
  elixir   = "1.18" # a series; the lock file pins the release

  app {
    path = var.app
    user = "app" # unprivileged: the app has no business with the kernel
  }

  otp {
    version  = "27"         # the newest that every release of Elixir 1.18 runs on
    emulator = var.emulator # the interpreter is 0.3 MB smaller packed than the JIT and starts with a third fewer instructions
    link     = var.link     # static: no C library in the image; NIFs of dependencies need "dynamic"
  }

  lean {
    level = "closure" # only the applications that the release depends on
    keep  = var.keep
  }

  output {
    formats     = ["bundle"]      # kernel and root file system as two files
    root        = var.root        # a disk need not fit in memory, and is read as it is needed
    compression = var.compression # xz is a tenth smaller and takes 2 G more instructions to unpack at boot
  }

  # More than this is a mistake in the definition or in us, not a matter of
  # taste: the build fails.
  budget {
    size   = "8MB"
    memory = "64MiB"
  }

  proof {
    expect  = local.expect
    timeout = "5m" # emulated, on a busy machine
  }

  # The strategy's own block, checked against the schema that its plugin
  # publishes.
  custom {
    kernel    = "6.12" # long-term series
    fragments = concat(["base", "virtio", "net"], local.root_fragments) # kernel-configs/*.config, in this order
    overlays  = ["common"] # overlays/*, copied over the root in this order
    busybox   = true       # a shell to look around with, and DHCP
  }
}
