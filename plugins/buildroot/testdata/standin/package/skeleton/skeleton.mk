SKELETON_FILES = etc/passwd
define SKELETON_INSTALL
	mkdir -p $(TARGET_DIR)/etc && echo root:x:0:0::/root:/bin/sh >$(TARGET_DIR)/etc/passwd
endef
$(eval $(call package,skeleton,1,,target,package/skeleton,SKELETON))
