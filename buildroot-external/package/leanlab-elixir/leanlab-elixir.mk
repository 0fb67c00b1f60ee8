################################################################################
#
# leanlab-elixir
#
################################################################################

LEANLAB_ELIXIR_VERSION = $(call qstrip,$(BR2_PACKAGE_LEANLAB_ELIXIR_VERSION))
LEANLAB_ELIXIR_TARBALL = $(call qstrip,$(BR2_PACKAGE_LEANLAB_ELIXIR_TARBALL))
ifneq ($(LEANLAB_ELIXIR_TARBALL),)
LEANLAB_ELIXIR_SITE = $(patsubst %/,%,$(dir $(LEANLAB_ELIXIR_TARBALL)))
LEANLAB_ELIXIR_SOURCE = $(notdir $(LEANLAB_ELIXIR_TARBALL))
else
LEANLAB_ELIXIR_SITE = \
	$(call github,elixir-lang,elixir,v$(LEANLAB_ELIXIR_VERSION))
LEANLAB_ELIXIR_SOURCE = elixir-$(LEANLAB_ELIXIR_VERSION).tar.gz
endif
LEANLAB_ELIXIR_LICENSE = Apache-2.0
LEANLAB_ELIXIR_LICENSE_FILES = LICENSE
LEANLAB_ELIXIR_CPE_ID_VENDOR = elixir-lang

LEANLAB_ELIXIR_APPLICATIONS = \
	$(call qstrip,$(BR2_PACKAGE_LEANLAB_ELIXIR_APPLICATIONS))

HOST_LEANLAB_ELIXIR_DEPENDENCIES = host-leanlab-otp

# LC_ALL: Elixir wants UTF-8 file names. deterministic: no paths or options in a
# module (compile(3)); Elixir's macros that quote with `location: :keep` still
# name theirs.
define HOST_LEANLAB_ELIXIR_BUILD_CMDS
	$(HOST_MAKE_ENV) LC_ALL=C.UTF-8 ERL_COMPILER_OPTIONS=deterministic \
		$(MAKE) -C $(@D) compile
endef

# The tree that its bin/elixir expects; VERSION tells people and tools which.
define HOST_LEANLAB_ELIXIR_INSTALL_CMDS
	rm -rf $(HOST_DIR)/lib/elixir
	mkdir -p $(HOST_DIR)/lib/elixir/bin $(HOST_DIR)/bin
	for app in $(@D)/lib/*/ebin; do \
		to=$(HOST_DIR)/lib/elixir/lib/$$(basename $$(dirname $$app)) && \
		mkdir -p $$to && cp -R $$app $$to/ || exit 1; \
	done
	for program in elixir elixirc iex mix; do \
		$(INSTALL) -m 0755 $(@D)/bin/$$program \
			$(HOST_DIR)/lib/elixir/bin/$$program && \
		ln -sf ../lib/elixir/bin/$$program $(HOST_DIR)/bin/$$program || \
		exit 1; \
	done
	$(INSTALL) -m 0644 $(@D)/VERSION $(HOST_DIR)/lib/elixir/VERSION
endef

# Modules are the same for every architecture: the target takes the host's.
LEANLAB_ELIXIR_DEPENDENCIES = host-leanlab-elixir leanlab-otp

ifneq ($(LEANLAB_ELIXIR_APPLICATIONS),)
define LEANLAB_ELIXIR_INSTALL_APPLICATIONS
	$(LEANLAB_OTP_INSTALL_BEAMS) \
		$(TARGET_DIR)/usr/lib/elixir/lib $(HOST_DIR)/lib/elixir/lib \
		$(LEANLAB_ELIXIR_APPLICATIONS)
endef
endif

# With erl there is a shell to start these from.
ifeq ($(BR2_PACKAGE_LEANLAB_OTP_PROGRAMS),y)
define LEANLAB_ELIXIR_INSTALL_PROGRAMS
	for program in elixir iex \
		$(if $(filter mix,$(LEANLAB_ELIXIR_APPLICATIONS)),elixirc mix); do \
		$(INSTALL) -D -m 0755 $(HOST_DIR)/lib/elixir/bin/$$program \
			$(TARGET_DIR)/usr/lib/elixir/bin/$$program && \
		ln -sf ../lib/elixir/bin/$$program \
			$(TARGET_DIR)/usr/bin/$$program || exit 1; \
	done
endef
endif

ifeq ($(BR2_PACKAGE_LEANLAB_ELIXIR_CONSOLE),y)
define LEANLAB_ELIXIR_INSTALL_CONSOLE
	$(INSTALL) -D -m 0644 $(LEANLAB_ELIXIR_PKGDIR)/iex.boot \
		$(TARGET_DIR)/etc/leanlab/boot
	$(SED) "s%@ERTS@%$$(basename $(TARGET_DIR)/usr/lib/erlang/erts-*)%" \
		$(TARGET_DIR)/etc/leanlab/boot
endef
endif

define LEANLAB_ELIXIR_INSTALL_TARGET_CMDS
	rm -rf $(TARGET_DIR)/usr/lib/elixir
	$(LEANLAB_ELIXIR_INSTALL_APPLICATIONS)
	$(LEANLAB_ELIXIR_INSTALL_PROGRAMS)
	$(LEANLAB_ELIXIR_INSTALL_CONSOLE)
endef

$(eval $(generic-package))
$(eval $(host-generic-package))
