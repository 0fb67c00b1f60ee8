ZLIB_SOURCE = zlib-1.0.tar
ZLIB_SITE = $(TOPDIR)/upstream
ZLIB_FILES = usr/lib/libz.so.1
ZLIB_STAGING_FILES = usr/include/zlib.h
define ZLIB_INSTALL
	mkdir -p $(TARGET_DIR)/usr/lib $(O)/staging/usr/include && touch $(O)/staging/usr/include/zlib.h && \
	gcc -shared -nostdlib -Wl,-soname,libz.so.1 -xc /dev/null -o $(TARGET_DIR)/usr/lib/libz.so.1
endef
$(eval $(call package,zlib,1.0,skeleton,target,package/zlib,ZLIB))
