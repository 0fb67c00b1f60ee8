define LEANLAB_ELIXIR_INSTALL
	mkdir -p $(HOST_DIR)/lib/elixir/bin && echo $(call qstrip,$(BR2_PACKAGE_LEANLAB_ELIXIR_VERSION)) >$(HOST_DIR)/lib/elixir/bin/mix
endef
$(eval $(call package,leanlab-elixir,1.18,leanlab-otp,target,$(BR2_EXTERNAL_LEANLAB_PATH)/package/leanlab-elixir,LEANLAB_ELIXIR))
