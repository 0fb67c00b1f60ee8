TROUBLE_WITH = $(call qstrip,$(BR2_PACKAGE_TROUBLE_WITH))
ifeq ($(TROUBLE_WITH),fail)
define TROUBLE_BUILD
	@echo "trouble.c:3: error: no such thing as a free lunch" >&2; exit 1
endef
else ifeq ($(TROUBLE_WITH),hang)
define TROUBLE_BUILD
	@echo "waiting for ever"; touch $(O)/hanging; tail -f $(O)/hanging
endef
else ifeq ($(TROUBLE_WITH),full)
define TROUBLE_BUILD
	@echo "cc1: error: No space left on device" >&2; exit 1
endef
endif
$(eval $(call package,trouble,0.1,skeleton,target,package/trouble,TROUBLE))
$(eval $(call package,host-trouble,0.1,,host,package/trouble,HOST_TROUBLE))
