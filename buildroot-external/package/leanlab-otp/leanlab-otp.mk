################################################################################
#
# leanlab-otp
#
################################################################################

LEANLAB_OTP_VERSION = $(call qstrip,$(BR2_PACKAGE_LEANLAB_OTP_VERSION))
LEANLAB_OTP_TARBALL = $(call qstrip,$(BR2_PACKAGE_LEANLAB_OTP_TARBALL))
ifneq ($(LEANLAB_OTP_TARBALL),)
LEANLAB_OTP_SITE = $(patsubst %/,%,$(dir $(LEANLAB_OTP_TARBALL)))
LEANLAB_OTP_SOURCE = $(notdir $(LEANLAB_OTP_TARBALL))
else
LEANLAB_OTP_SITE = \
	https://github.com/erlang/otp/releases/download/OTP-$(LEANLAB_OTP_VERSION)
LEANLAB_OTP_SOURCE = otp_src_$(LEANLAB_OTP_VERSION).tar.gz
endif
LEANLAB_OTP_LICENSE = Apache-2.0
LEANLAB_OTP_LICENSE_FILES = LICENSE.txt
LEANLAB_OTP_CPE_ID_VENDOR = erlang
LEANLAB_OTP_CPE_ID_PRODUCT = erlang\/otp

LEANLAB_OTP_APPLICATIONS = $(call qstrip,$(BR2_PACKAGE_LEANLAB_OTP_APPLICATIONS))

# Neither compiling an application nor running it on a small target needs these:
# graphical tools, protocols with a successor in Hex, other languages.
# HOWTO/INSTALL.md, "Advanced configuration": --without-NAME.
LEANLAB_OTP_NOT_BUILT = $(filter-out $(LEANLAB_OTP_APPLICATIONS), \
	common_test debugger dialyzer diameter edoc eldap et ftp javac \
	jinterface megaco observer odbc reltool snmp ssh tftp wx)

# --enable-deterministic-build: no absolute paths in modules.
# --disable-saved-compile-time: no date in the emulator.
# --disable-sctp: it would be looked for by dlopen().
LEANLAB_OTP_COMMON_CONF_OPTS = \
	--enable-deterministic-build \
	--disable-saved-compile-time \
	--disable-sctp \
	$(addprefix --without-,$(LEANLAB_OTP_NOT_BUILT))

# The emulator records the flags that it was compiled with, and in them the
# directory: two builds in two directories would differ.
define LEANLAB_OTP_FORGET_BUILD_DIRECTORY
	$(SED) 's%^\( *\)my $$value = $$constants{$$_};%&\n\1$$value =~ s/\\Q$$ENV{ERL_TOP}\\E/\\/otp/g;%' \
		$(@D)/erts/emulator/utils/make_compiler_flags
	grep -q ERL_TOP $(@D)/erts/emulator/utils/make_compiler_flags || { \
		echo "make_compiler_flags is not the one of OTP 27: mend this hook" >&2; \
		exit 1; \
	}
endef
LEANLAB_OTP_POST_PATCH_HOOKS += LEANLAB_OTP_FORGET_BUILD_DIRECTORY

# ----------------------------------------------------------------------------
# For the build host: the compiler, and the modules of the target.

# Mix verifies what it downloads.
HOST_LEANLAB_OTP_DEPENDENCIES = host-openssl
# Without ERL_TOP, configure would find an OTP that the host has installed.
HOST_LEANLAB_OTP_CONF_ENV = ERL_TOP=$(@D)
HOST_LEANLAB_OTP_CONF_OPTS = \
	$(LEANLAB_OTP_COMMON_CONF_OPTS) \
	--with-ssl=$(HOST_DIR) \
	--without-termcap

# ----------------------------------------------------------------------------
# For the target: the emulator alone.

# The host's programs generate some of its sources.
LEANLAB_OTP_DEPENDENCIES = host-leanlab-otp zlib

# configure cannot run programs of the target; what it takes for granted without
# being told is the least that any system has (xcomp/erl-xcomp.conf.template).
LEANLAB_OTP_CONF_ENV = \
	ERL_TOP=$(@D) \
	erl_xcomp_sysroot=$(STAGING_DIR) \
	erl_xcomp_clock_gettime_cpu_time=yes \
	erl_xcomp_getaddrinfo=yes \
	ac_cv_func_isnan=yes \
	ac_cv_func_isinf=yes

# Sections of their own let the linker drop what nobody calls.
LEANLAB_OTP_CFLAGS = -ffunction-sections -fdata-sections
LEANLAB_OTP_LDFLAGS = -Wl,--gc-sections -Wl,-O1 -Wl,--build-id=none

# EMU_LDFLAGS aligns segments to 2 MiB, for huge pages that a small target does
# not have; the padding would cost memory.
LEANLAB_OTP_MAKE_OPTS = \
	TARGET=$(GNU_TARGET_NAME) \
	FLAVOR=$(LEANLAB_OTP_FLAVOR) \
	EMU_LDFLAGS=

ifeq ($(BR2_PACKAGE_LEANLAB_OTP_STATIC),y)
LEANLAB_OTP_LDFLAGS += -static
# Exported symbols serve NIFs that are loaded; none can be.
LEANLAB_OTP_MAKE_OPTS += DEXPORT=
endif

LEANLAB_OTP_CONF_ENV += \
	CFLAGS="$(TARGET_CFLAGS) $(LEANLAB_OTP_CFLAGS)" \
	CXXFLAGS="$(TARGET_CXXFLAGS) $(LEANLAB_OTP_CFLAGS)" \
	LDFLAGS="$(TARGET_LDFLAGS) $(LEANLAB_OTP_LDFLAGS)"

LEANLAB_OTP_CONF_OPTS = \
	$(LEANLAB_OTP_COMMON_CONF_OPTS) \
	--disable-builtin-zlib

ifeq ($(BR2_PACKAGE_LEANLAB_OTP_JIT),y)
LEANLAB_OTP_FLAVOR = jit
LEANLAB_OTP_CONF_OPTS += --enable-jit
else
LEANLAB_OTP_FLAVOR = emu
LEANLAB_OTP_CONF_OPTS += --disable-jit
endif

ifeq ($(BR2_PACKAGE_LEANLAB_OTP_CRYPTO),y)
LEANLAB_OTP_DEPENDENCIES += openssl
# Otherwise crypto would load OpenSSL through a library of its own.
LEANLAB_OTP_CONF_OPTS += \
	--with-ssl=$(STAGING_DIR)/usr \
	--disable-dynamic-ssl-lib
else
LEANLAB_OTP_CONF_OPTS += --without-ssl
endif

ifeq ($(BR2_PACKAGE_LEANLAB_OTP_TERMCAP),y)
LEANLAB_OTP_DEPENDENCIES += ncurses
LEANLAB_OTP_CONF_OPTS += --with-termcap
else
LEANLAB_OTP_CONF_OPTS += --without-termcap
endif

LEANLAB_OTP_MAKE_ENV = $(TARGET_MAKE_ENV) ERL_TOP=$(@D)
LEANLAB_OTP_BINDIR = $(@D)/bin/$(GNU_TARGET_NAME)

define LEANLAB_OTP_BUILD_EMULATOR
	$(LEANLAB_OTP_MAKE_ENV) $(MAKE) -C $(@D)/erts/lib_src opt \
		$(LEANLAB_OTP_MAKE_OPTS)
	$(LEANLAB_OTP_MAKE_ENV) $(MAKE) -C $(@D)/erts/emulator opt \
		$(LEANLAB_OTP_MAKE_OPTS)
	cp $(LEANLAB_OTP_BINDIR)/beam.smp $(@D)/beam.plain.smp
endef

# Link the emulator once more, with NIFs. Configured with --enable-static-nifs,
# OTP before 27.3.5 leaves libcrypto out of the link line (erlang/otp#10817);
# TYPE_LIBS ends that line. The table of NIFs is in driver_tab.o.
ifeq ($(BR2_PACKAGE_LEANLAB_OTP_CRYPTO),y)
LEANLAB_OTP_NIFS = \
	$(@D)/lib/asn1/priv/lib/$(GNU_TARGET_NAME)/asn1rt_nif.a \
	$(@D)/lib/crypto/priv/lib/$(GNU_TARGET_NAME)/crypto.a

define LEANLAB_OTP_LINK_CRYPTO
	$(foreach app,asn1 crypto, \
		$(LEANLAB_OTP_MAKE_ENV) $(MAKE) -C $(@D)/lib/$(app)/c_src \
			static_lib BUILD_STATIC_LIBS=1 \
			$(LEANLAB_OTP_MAKE_OPTS)
	)
	rm -f $(LEANLAB_OTP_BINDIR)/beam*.smp \
		$(@D)/erts/emulator/obj/$(GNU_TARGET_NAME)/opt/$(LEANLAB_OTP_FLAVOR)/driver_tab.o
	$(LEANLAB_OTP_MAKE_ENV) $(MAKE) -C $(@D)/erts/emulator opt \
		$(LEANLAB_OTP_MAKE_OPTS) \
		STATIC_NIFS="$(LEANLAB_OTP_NIFS)" TYPE_LIBS=-lcrypto
endef
endif

ifeq ($(BR2_PACKAGE_LEANLAB_OTP_PROGRAMS),y)
LEANLAB_OTP_PROGRAMS = epmd erlexec heart inet_gethost

define LEANLAB_OTP_BUILD_PROGRAMS
	$(LEANLAB_OTP_MAKE_ENV) $(MAKE) -C $(@D)/erts/epmd opt \
		$(LEANLAB_OTP_MAKE_OPTS)
	$(LEANLAB_OTP_MAKE_ENV) $(MAKE) -C $(@D)/erts/etc/common \
		$(LEANLAB_OTP_MAKE_OPTS) TYPE=opt erl.src \
		$(addprefix $(LEANLAB_OTP_BINDIR)/,$(filter-out epmd,$(LEANLAB_OTP_PROGRAMS)))
endef

# The start script would look for dyn_erl, which finds an OTP that was moved.
define LEANLAB_OTP_INSTALL_PROGRAMS
	$(foreach program,$(LEANLAB_OTP_PROGRAMS), \
		$(INSTALL) -m 0755 $(LEANLAB_OTP_BINDIR)/$(program) \
			$(LEANLAB_OTP_TARGET_ERTS)/bin/$(program)
	)
	$(INSTALL) -D -m 0755 $(@D)/erts/etc/common/erl.src \
		$(TARGET_DIR)/usr/lib/erlang/bin/erl
	$(SED) 's%\%FINAL_ROOTDIR\%%/usr/lib/erlang%' \
		$(TARGET_DIR)/usr/lib/erlang/bin/erl
	ln -sf ../lib/erlang/bin/erl $(TARGET_DIR)/usr/bin/erl
endef
endif

define LEANLAB_OTP_BUILD_CMDS
	$(LEANLAB_OTP_BUILD_EMULATOR)
	$(LEANLAB_OTP_LINK_CRYPTO)
	$(LEANLAB_OTP_BUILD_PROGRAMS)
endef

# erts/vsn.mk: VSN = 15.2.7
LEANLAB_OTP_TARGET_ERTS = \
	$(TARGET_DIR)/usr/lib/erlang/erts-$$(sed -n 's/^VSN *= *//p' $(@D)/erts/vsn.mk)

ifeq ($(BR2_PACKAGE_LEANLAB_OTP_PLAIN_EMULATOR),y)
define LEANLAB_OTP_INSTALL_PLAIN_EMULATOR
	$(INSTALL) -m 0755 $(@D)/beam.plain.smp \
		$(LEANLAB_OTP_TARGET_ERTS)/bin/beam.plain.smp
endef
endif

# Modules of the host's OTP, stripped if the rest of the target is.
ifneq ($(LEANLAB_OTP_APPLICATIONS),)
define LEANLAB_OTP_INSTALL_APPLICATIONS
	$(LEANLAB_OTP_INSTALL_BEAMS) \
		$(TARGET_DIR)/usr/lib/erlang/lib $(HOST_DIR)/lib/erlang/lib \
		$(LEANLAB_OTP_APPLICATIONS)
	$(INSTALL) -D -m 0644 $(HOST_DIR)/lib/erlang/bin/start_clean.boot \
		$(TARGET_DIR)/usr/lib/erlang/bin/start.boot
endef
endif

# Also leanlab-elixir's.
LEANLAB_OTP_INSTALL_BEAMS = $(HOST_DIR)/bin/escript \
	$(BR2_EXTERNAL_LEANLAB_PATH)/package/leanlab-otp/install-applications.escript \
	$(if $(BR2_STRIP_strip),strip,keep)

define LEANLAB_OTP_INSTALL_TARGET_CMDS
	rm -rf $(TARGET_DIR)/usr/lib/erlang
	mkdir -p $(LEANLAB_OTP_TARGET_ERTS)/bin
	$(INSTALL) -m 0755 $(LEANLAB_OTP_BINDIR)/beam.smp \
		$(LEANLAB_OTP_BINDIR)/erl_child_setup \
		$(LEANLAB_OTP_TARGET_ERTS)/bin/
	$(LEANLAB_OTP_INSTALL_PLAIN_EMULATOR)
	$(LEANLAB_OTP_INSTALL_PROGRAMS)
	$(LEANLAB_OTP_INSTALL_APPLICATIONS)
endef

$(eval $(autotools-package))
$(eval $(host-autotools-package))
