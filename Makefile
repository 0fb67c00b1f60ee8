# leanlab: one definition in, the smallest provably working VM out.
# `make help` lists the targets; each says what it does after its ##.

STRATEGY ?= custom
# APP=path/to/mix/project; unset, the definition's own; empty, an iex console.
ARCH     ?=
VM       ?=
# More variables of the definition, as NAME=VALUE words: VARS="emulator=jit link=dynamic"
VARS     ?=
# More flags for leanlab, such as --offline or --mirror=DIR.
FLAGS    ?=
# A Buildroot on this machine, for STRATEGY=buildroot; unset, the release that
# hcl/buildroot.hcl names.
BUILDROOT_DIR ?=
# Flags of `leanlab run` for make run, and arguments of the app: RUN="-p 4000:4000 -- ARG"
RUN      ?=

GO         ?= go
DEFINITION := hcl/$(STRATEGY).hcl
PLUGINS    := $(notdir $(wildcard plugins/*))
BINARIES   := bin/leanlab $(PLUGINS:%=bin/leanlab-builder-%)
SOURCES    := go.mod go.sum $(shell find core plugins -type f ! -name '*_test.go' ! -path '*/testdata/*')

SELECT := -f $(DEFINITION) $(if $(VM),--vm $(VM)) \
	$(if $(findstring command,$(origin APP)),--var 'app=$(APP)') \
	$(if $(ARCH),--var arch=$(ARCH)) \
	$(if $(filter buildroot,$(STRATEGY)),$(if $(BUILDROOT_DIR),--var 'buildroot_dir=$(abspath $(BUILDROOT_DIR))')) \
	$(foreach v,$(VARS),--var '$(v)')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## list the targets
	@echo 'usage: make TARGET [STRATEGY=custom] [APP=path/to/mix/project] [ARCH=x86_64] [VM=name] [VARS="name=value …"]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1@\2/p' Makefile | column -t -s @

.PHONY: vm
vm: $(BINARIES) ## build a VM, boot it to prove that it works, write build/<vm>/
	@bin/leanlab build --install $(SELECT) $(FLAGS)

.PHONY: plan
plan: $(BINARIES) ## show what `make vm` would do, what is cached and why the rest is not
	@bin/leanlab plan $(SELECT) $(FLAGS)

.PHONY: validate
validate: $(BINARIES) ## check the definition without building
	@bin/leanlab validate $(SELECT)

.PHONY: run
run: vm ## put this terminal at the VM's console (Ctrl-A X ends it); RUN="-p 4000:4000"
	@bin/leanlab run $(SELECT) $(RUN)

# The images of docs/benchmarks.md: EMULATOR-ROOT-LEVEL, which are hcl/bench.hcl's
# variables. The first one is what the others are compared with.
MATRIX := $(foreach e,interpreter jit,$(foreach r,zstd xz disk,$(foreach l,closure strip none,$(e)-$(r)-$(l))))
# What they are compared with; empty for nothing. Debian's needs a Debian host.
PEER   ?= debian-13
# Each search for the smallest RAM is eight boots or so, and with a root on a disk
# much longer ones: with too little, what was read is dropped and read again until
# the time is up.
LEAST  ?= interpreter-zstd-closure

.PHONY: bench
bench: $(MATRIX:%=matrix-%) ## build what docs/benchmarks.md compares, measure it, write that page
	@bin/leanlab bench $(MATRIX:%=build/%) --memory 256 $(LEAST:%=--least %) \
		$(PEER:%=--peer %) --json docs/benchmarks.json --markdown docs/benchmarks.md --html build/benchmarks.html

.PHONY: $(MATRIX:%=matrix-%)
$(MATRIX:%=matrix-%): matrix-%: $(BINARIES)
	@echo 'leanlab: $*, one of $(words $(MATRIX))' >&2
	@bin/leanlab build --install -f hcl/bench.hcl --as $* $(FLAGS) \
		--var emulator=$(word 1,$(subst -, ,$*)) --var root=$(word 2,$(subst -, ,$*)) --var level=$(word 3,$(subst -, ,$*)) >/dev/null

.PHONY: menuconfig linux-menuconfig busybox-menuconfig savedefconfig
menuconfig: ## edit Buildroot's configuration; changes land in its defconfig (STRATEGY=buildroot)
linux-menuconfig: ## edit the kernel's configuration; changes land in kernel-configs/
busybox-menuconfig: ## edit BusyBox's configuration; changes land in core/guest/busybox.config
savedefconfig: ## fold pending edits back, and print the defconfig
menuconfig linux-menuconfig busybox-menuconfig savedefconfig: $(BINARIES)
	@bin/leanlab configure $@ $(SELECT) $(FLAGS)

.PHONY: check-configs
check-configs: ## are the defconfigs whole, and as Buildroot would save them? (the latter with BUILDROOT_DIR)
	BUILDROOT_DIR=$(abspath $(BUILDROOT_DIR)) $(GO) test -count=1 -v -run CheckedIn ./plugins/buildroot

.PHONY: build
build: $(BINARIES) ## compile leanlab and its plugins into bin/

# Through a stamp: go's own cache makes it cheap, and touching nothing makes it
# free, which a build with nothing to do notices.
$(BINARIES) &: $(SOURCES)
	@mkdir -p bin
	$(GO) build -trimpath -o bin/leanlab ./core/cmd/leanlab
	$(foreach p,$(PLUGINS),$(GO) build -trimpath -o bin/leanlab-builder-$(p) ./plugins/$(p) &&) true
	@touch $(BINARIES)

.PHONY: test
test: test-build test-unit test-vm ## everything: a real VM, the unit tests, and those that need the VM

# The default VM, and the kernel of disk roots, which a test takes from the store.
# First of all: --install installs what tests use as well.
.PHONY: test-build
test-build: $(BINARIES)
	bin/leanlab build --install -f hcl/custom.hcl --var root=disk --no-proof --progress plain
	bin/leanlab build --install -f hcl/custom.hcl --progress plain

.PHONY: test-unit
test-unit: ## the fast part: formatting, vet, and tests that build no VM
	@unformatted=$$(gofmt -l core plugins); test -z "$$unformatted" || { echo "gofmt wants: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) test ./...

# What tests need of the build is given to them by name; a test that does not
# find what it needs says so and skips.
.PHONY: test-vm
test-vm: test-build build/test-musl-beam/beam.smp build/test-kernel test-engines ## the default VM, built and booted, and every test that boots or runs one
	rm -rf build/test-sources && mkdir -p build/test-sources/linux build/test-sources/busybox
	for name in linux busybox; do \
		tar -xf "$$(bin/leanlab sources list | awk -v n=$$name '$$1 == n { print $$NF }')" -C build/test-sources/$$name --strip-components=1; \
	done
	LEANLAB_TEST_BUILD=$(CURDIR)/build/custom \
	LEANLAB_TEST_KERNEL=$(CURDIR)/build/custom/bundle/kernel \
	LEANLAB_TEST_ERL="$$(bin/leanlab cache path otp)/bin/erl" \
	LEANLAB_TEST_ELIXIR="$$(bin/leanlab cache path elixir)" \
	LEANLAB_TEST_BUSYBOX_BINARY="$$(bin/leanlab cache path busybox)/busybox" \
	LEANLAB_TEST_MUSL_BEAM=$(CURDIR)/build/test-musl-beam \
	LEANLAB_TEST_PACKAGED_KERNEL=$(CURDIR)/build/test-kernel \
	LEANLAB_TEST_LINUX=$(CURDIR)/build/test-sources/linux \
	LEANLAB_TEST_BUSYBOX=$(CURDIR)/build/test-sources/busybox \
	LEANLAB_TEST_PEER=1 \
	$(GO) test -timeout 60m ./core/... ./plugins/...

# The container engines that plugins/alpine is tested with, and what is in their images.
ENGINES := podman buildah busybox-static
.PHONY: test-engines
test-engines:
	@dpkg -s $(ENGINES) >/dev/null 2>&1 || $$(test $$(id -u) = 0 || echo sudo -n) apt-get install -q -y --no-install-recommends $(ENGINES) || \
		echo 'leanlab: tests with container engines are skipped; for them: sudo apt-get install $(ENGINES)' >&2

# A BEAM as Alpine has it, for the tests' own Alpine packages.
build/test-musl-beam/beam.smp: plugins/alpine/testdata/musl-beam.sh | test-build
	$< "$$(bin/leanlab sources list | awk '$$1 == "erlang" { print $$NF }')" $(@D)

# A kernel with modules, as Alpine has it.
build/test-kernel: plugins/alpine/testdata/packaged-kernel.sh
	$< $@

.PHONY: reproduce
reproduce: ## two cold builds, one killed twenty times on its way: the same bytes?
	.ci/reproduce

.PHONY: clean
clean: ## remove bin/ and build/; the store stays (leanlab cache prune)
	rm -rf bin build
