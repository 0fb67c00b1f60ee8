################################################################################
#
# leanlab
#
################################################################################

# Included by linux.mk before it hands its variables to the package machinery:
# the only time at which dependencies can still be taken away.
ifeq ($(BR2_LEANLAB_LINUX_MONOLITHIC),y)
# check-package disable TypoInPackageVariable
LINUX_DEPENDENCIES := $(filter-out host-kmod,$(LINUX_DEPENDENCIES))
endif
