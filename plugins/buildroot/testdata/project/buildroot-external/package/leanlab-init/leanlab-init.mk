LEANLAB_INIT_OVERRIDE_SRCDIR = $(BR2_EXTERNAL_LEANLAB_PATH)/../init
LEANLAB_INIT_FILES = init
define LEANLAB_INIT_INSTALL
	cp $(LEANLAB_INIT_OVERRIDE_SRCDIR)/init.c $(TARGET_DIR)/init
endef
$(eval $(call package,leanlab-init,,skeleton,target,$(BR2_EXTERNAL_LEANLAB_PATH)/package/leanlab-init,LEANLAB_INIT))
