# `make demo` and `make test` are all that a fresh Debian-like machine with a
# Rust toolchain and root needs; the other targets are for developers.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
export CARGO_TARGET_DIR ?= $(CURDIR)/target
TOOLS := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/adit/tools
CARGO_DENY_VERSION := 0.20.2
STATIC_TARGET := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

.PHONY: demo
demo: packages-run ## build, run the bookshop in network namespaces, show what a mesh does
	$(CARGO) build --release --locked -p adit-cli
	$(CARGO_TARGET_DIR)/release/adit local demo

.PHONY: test
test: packages-test lint ## format, clippy, crate edges, unit tests, tests of real processes in network namespaces
	$(CARGO) test --workspace --locked

.PHONY: lint
lint: packages-build ## format, clippy with warnings denied, crate edges, file lengths
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) run --quiet --locked -p xtask

.PHONY: bench
bench: packages-run ## measure against plain sockets, a plain forwarder and an HAProxy pair
	@$(call ensure,haproxy)
	$(CARGO) build --release --locked -p adit-cli -p adit-bench
	$(CARGO_TARGET_DIR)/release/adit-bench run --adit $(CARGO_TARGET_DIR)/release/adit \
	  --rows $(CARGO_TARGET_DIR)/bench.jsonl $(BENCH_ARGS)

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

# System packages. Each target asks for what it needs; nothing happens when it is there.
.PHONY: packages-build
packages-build:
	@$(call ensure,gcc libc6-dev make)

.PHONY: packages-run
packages-run: packages-build
	@$(call ensure,iproute2 nftables)

.PHONY: packages-test
packages-test: packages-run
	@$(call ensure,python3-minimal)

define ensure
missing=(); for package in $(1); do \
  dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q '^install ok installed' || missing+=($$package); done; \
if (( $${#missing[@]} )); then echo "installing $${missing[*]}"; \
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$${missing[@]}" >/dev/null; fi
endef
