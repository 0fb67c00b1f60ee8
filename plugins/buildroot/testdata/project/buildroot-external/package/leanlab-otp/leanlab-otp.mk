LEANLAB_OTP_ERTS = usr/lib/erlang/erts-15.0/bin
LEANLAB_OTP_FILES = $(addprefix $(LEANLAB_OTP_ERTS)/,beam.smp beam.plain.smp)
# Programs that are static and do nothing.
define LEANLAB_OTP_INSTALL
	mkdir -p $(TARGET_DIR)/$(LEANLAB_OTP_ERTS) $(HOST_DIR)/lib/erlang/bin && \
	for name in beam.smp beam.plain.smp; do \
		echo 'void _start(void) { for (;;) ; }' | gcc -static -nostdlib -xc - -o $(TARGET_DIR)/$(LEANLAB_OTP_ERTS)/$$name || exit 1; \
	done && \
	echo $(call qstrip,$(BR2_PACKAGE_LEANLAB_OTP_VERSION)) >$(HOST_DIR)/lib/erlang/bin/erl
endef
$(eval $(call package,leanlab-otp,27,skeleton zlib,target,$(BR2_EXTERNAL_LEANLAB_PATH)/package/leanlab-otp,LEANLAB_OTP))
