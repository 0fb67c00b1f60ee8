BUSYBOX_FRAGMENTS = $(call qstrip,$(BR2_PACKAGE_BUSYBOX_CONFIG_FRAGMENT_FILES))
BUSYBOX_FILES = bin/busybox
define BUSYBOX_EXTRACT
	printf 'config ASH\n\tbool "ash"\nconfig FANCY\n\tbool "fancy"\n\tdepends on ASH\n' >$(BUSYBOX_STAMPS)/Config.in
endef
define BUSYBOX_INSTALL
	mkdir -p $(TARGET_DIR)/bin && cp $(BUSYBOX_STAMPS)/.config $(TARGET_DIR)/bin/busybox
endef
$(eval $(call package,busybox,1.0,skeleton,target,package/busybox,BUSYBOX))
$(BUSYBOX_STAMPS)/.stamp_dotconfig: $(BUSYBOX_FRAGMENTS) | $(BUSYBOX_STAMPS)/.stamp_patched
	@cat $(BUSYBOX_FRAGMENTS) /dev/null >$(@D)/requests
	@awk -f support/kconfig/fragments.awk $(@D)/requests $(@D)/Config.in >$(@D)/.config
	@touch $@
$(BUSYBOX_STAMPS)/.stamp_kconfig_fixup_done: $(BUSYBOX_STAMPS)/.stamp_dotconfig
	@touch $@
$(BUSYBOX_STAMPS)/.stamp_configured: $(BUSYBOX_STAMPS)/.stamp_kconfig_fixup_done
