#!/usr/bin/env bash
# A command of cargo on the fuzz targets, with what they are built with: the coverage that
# libFuzzer is guided by, which stable Rust has as a pass of LLVM. Other builds see none of it.
# usage: fuzz/cargo.sh build|clippy [argument…]
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module"
for flag in level=4 inline-8bit-counters pc-table trace-compares; do
  RUSTFLAGS+=" -Cllvm-args=-sanitizer-coverage-$flag"
done
export RUSTFLAGS
host=$(rustc -vV | sed -n 's/^host: //p')
# With --target, build scripts and macros stay as they are.
exec "${CARGO:-cargo}" "$1" --locked --package adit-fuzz --features engine --profile fuzz --target "$host" "${@:2}"
