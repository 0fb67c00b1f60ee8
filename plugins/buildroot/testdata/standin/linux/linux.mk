LINUX_FRAGMENTS = $(subst $$(BR2_EXTERNAL_LEANLAB_PATH),$(BR2_EXTERNAL_LEANLAB_PATH),$(call qstrip,$(BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES)))
define LINUX_EXTRACT
	printf 'config NET\n\tbool "net"\nconfig INET\n\tbool "inet"\n\tdepends on NET\nconfig BLK_DEV_INITRD\n\tbool "initrd"\nconfig RD_ZSTD\n\tbool "zstd"\n\tdepends on BLK_DEV_INITRD\n' >$(LINUX_STAMPS)/Kconfig
endef
define LINUX_INSTALL
	mkdir -p $(BINARIES_DIR) && cp $(LINUX_STAMPS)/.config $(BINARIES_DIR)/bzImage && cp $(LINUX_STAMPS)/.config $(BINARIES_DIR)/Image
endef
$(eval $(call package,linux,6.12.1,skeleton,target,linux,LINUX))
$(LINUX_STAMPS)/.stamp_dotconfig: $(LINUX_FRAGMENTS) | $(LINUX_STAMPS)/.stamp_patched
	@cat $(LINUX_FRAGMENTS) /dev/null >$(@D)/requests
	@awk -f support/kconfig/fragments.awk $(@D)/requests $(@D)/Kconfig >$(@D)/.config
	@touch $@
$(LINUX_STAMPS)/.stamp_kconfig_fixup_done: $(LINUX_STAMPS)/.stamp_dotconfig
	@touch $@
$(LINUX_STAMPS)/.stamp_configured: $(LINUX_STAMPS)/.stamp_kconfig_fixup_done
