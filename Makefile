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
# Flags of `leanlab run` for make run, and arguments of the app: RUN="-p 4000:4000 -- ARG"
RUN      ?=

GO         ?= go
DEFINITION := hcl/$(STRATEGY).hcl
PLUGINS    := $(notdir $(wildcard plugins/*))
BINARIES   := bin/leanlab $(PLUGINS:%=bin/leanlab-builder-%)
SOURCES    := go.mod go.sum $(shell find core plugins -type f ! -name '*_test.go' ! -path '*/testdata/*')

SELECT := -f $(DEFINITION) $(if $(VM),--vm $(VM)) \
	$(if $(findstring command,$(origin APP)),--var 'app=$(APP)') \
	$(if $(ARCH),--var arch=$(ARCH)) $(foreach v,$(VARS),--var '$(v)')

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

.PHONY: linux-menuconfig busybox-menuconfig savedefconfig
linux-menuconfig: ## edit the kernel's configuration; changes land in kernel-configs/
busybox-menuconfig: ## edit BusyBox's configuration; changes land in plugins/custom/busybox.config
savedefconfig: ## fold pending kernel edits back, and print the defconfig
linux-menuconfig busybox-menuconfig savedefconfig: $(BINARIES)
	@bin/leanlab configure $@ $(SELECT) $(FLAGS)

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
test: test-unit test-vm ## everything: unit tests, then a real VM and the tests that need one

.PHONY: test-unit
test-unit: ## the fast part: formatting, vet, and tests that build no VM
	@unformatted=$$(gofmt -l core plugins); test -z "$$unformatted" || { echo "gofmt wants: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) test ./...

# What tests need of the build is given to them by name; a test that does not
# find what it needs says so and skips.
.PHONY: test-vm
test-vm: $(BINARIES) build/test-musl-beam/beam.smp build/test-kernel ## the default VM, built and booted, and every test that boots or runs one
	bin/leanlab build --install -f hcl/custom.hcl --progress plain
	rm -rf build/test-sources && mkdir -p build/test-sources/linux build/test-sources/busybox
	for name in linux busybox; do \
		tar -xf "$$(bin/leanlab sources list | awk -v n=$$name '$$1 == n { print $$NF }')" -C build/test-sources/$$name --strip-components=1; \
	done
	LEANLAB_TEST_BUILD=$(CURDIR)/build/custom \
	LEANLAB_TEST_KERNEL=$(CURDIR)/build/custom/bundle/kernel \
	LEANLAB_TEST_ERL="$$(bin/leanlab cache path otp)/bin/erl" \
	LEANLAB_TEST_BUSYBOX_BINARY="$$(bin/leanlab cache path busybox)/busybox" \
	LEANLAB_TEST_MUSL_BEAM=$(CURDIR)/build/test-musl-beam \
	LEANLAB_TEST_PACKAGED_KERNEL=$(CURDIR)/build/test-kernel \
	LEANLAB_TEST_LINUX=$(CURDIR)/build/test-sources/linux \
	LEANLAB_TEST_BUSYBOX=$(CURDIR)/build/test-sources/busybox \
	$(GO) test -timeout 60m ./core/... ./plugins/...

# A BEAM as Alpine has it, for the tests' own Alpine packages.
build/test-musl-beam/beam.smp: plugins/alpine/testdata/musl-beam.sh | $(BINARIES)
	bin/leanlab build --install -f hcl/custom.hcl --progress plain
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
