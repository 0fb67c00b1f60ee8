# Buildroot has the rules of packages here; the stand-in has them in its Makefile.
# There, what a host's package has not is taken from the target's:
# $(2)_VERSION = $($(3)_VERSION)
