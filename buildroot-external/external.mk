include $(sort $(wildcard $(BR2_EXTERNAL_LEANLAB_PATH)/package/*/*.mk))

# An architecture's default configuration is made by `make defconfig`: the one
# place in Buildroot where a target of the kernel's own makefile, and not a
# file, gives the first .config. Put another target there, which starts from
# the very same requests that are merged afterwards.
ifeq ($(BR2_LEANLAB_LINUX_OFF_BY_DEFAULT),y)
LEANLAB_LINUX_REQUESTS = $(LINUX_DIR)/.leanlab.config

LINUX_KCONFIG_DEFCONFIG = \
	KCONFIG_ALLCONFIG=$(LEANLAB_LINUX_REQUESTS) allnoconfig

# The first three are what `make tinyconfig` is made of
# (scripts/kconfig/Makefile); arm64 has no file of its own. The last value of a
# symbol counts.
$(LEANLAB_LINUX_REQUESTS): $(LINUX_KCONFIG_FRAGMENT_FILES) | linux-patch
	for file in $(LINUX_DIR)/kernel/configs/tiny-base.config \
		$(LINUX_DIR)/kernel/configs/tiny.config \
		$(LINUX_ARCH_PATH)/configs/tiny.config \
		$(LINUX_KCONFIG_FRAGMENT_FILES); do \
		[ ! -f $$file ] || cat $$file || exit 1; \
	done >$@

$(LINUX_DIR)/$(LINUX_KCONFIG_STAMP_DOTCONFIG): $(LEANLAB_LINUX_REQUESTS)

# Kconfig drops what it cannot honour without a word.
define LEANLAB_LINUX_CHECK_REQUESTS
	$(BR2_EXTERNAL_LEANLAB_PATH)/utils/check-requests \
		$(LINUX_DIR)/.config $(LINUX_KCONFIG_FRAGMENT_FILES)
endef
LINUX_POST_CONFIGURE_HOOKS += LEANLAB_LINUX_CHECK_REQUESTS
endif

# BusyBox' allnoconfig writes every option that there is, so that the fragments
# can be merged into it.
ifeq ($(BR2_LEANLAB_BUSYBOX_OFF_BY_DEFAULT),y)
BUSYBOX_KCONFIG_DEFCONFIG = allnoconfig

define LEANLAB_BUSYBOX_CHECK_REQUESTS
	$(BR2_EXTERNAL_LEANLAB_PATH)/utils/check-requests \
		$(BUSYBOX_DIR)/.config $(BUSYBOX_KCONFIG_FRAGMENT_FILES)
endef
BUSYBOX_POST_CONFIGURE_HOOKS += LEANLAB_BUSYBOX_CHECK_REQUESTS
endif

# See linux/linux-ext-leanlab.mk. BR2_LINUX_KERNEL selects it all the same.
ifeq ($(BR2_LEANLAB_LINUX_MONOLITHIC),y)
PACKAGES := $(filter-out host-kmod,$(PACKAGES))
endif
