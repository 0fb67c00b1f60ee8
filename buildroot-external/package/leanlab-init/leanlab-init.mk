################################################################################
#
# leanlab-init
#
################################################################################

# The same source as in every other VM of the project: one C file.
LEANLAB_INIT_SITE = $(BR2_EXTERNAL_LEANLAB_PATH)/../core/guest/init
LEANLAB_INIT_SITE_METHOD = local
LEANLAB_INIT_LICENSE = MIT

define LEANLAB_INIT_BUILD_CMDS
	$(TARGET_CC) $(TARGET_CFLAGS) -Os -Wall -Wextra \
		-ffunction-sections -fdata-sections \
		$(TARGET_LDFLAGS) -static -Wl,--gc-sections -Wl,--build-id=none \
		-o $(@D)/init $(@D)/init.c
endef

# The kernel looks for /init in an initramfs.
define LEANLAB_INIT_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/init $(TARGET_DIR)/init
endef

$(eval $(generic-package))
