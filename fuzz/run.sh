#!/usr/bin/env bash
# Builds the fuzz targets and runs each for FUZZ_SECONDS, as many at a time as there are cores.
# With FUZZ_BUDGET, building and running take that many seconds at the most, or a little more where
# building alone takes them: five seconds a target are always left.
# usage: fuzz/run.sh [target…]; without one, all of them
set -euo pipefail
cd "$(dirname "$0")/.."
export FUZZ_SECONDS=${FUZZ_SECONDS:-60}
targets=("$@")
if ((!$#)); then
  for file in fuzz/targets/*.rs; do
    target=${file##*/}
    targets+=("${target%.rs}")
  done
fi
for target in "${targets[@]}"; do
  [[ -d fuzz/corpus/$target ]] || { echo "fuzz/corpus/$target is missing: a target needs a seed" >&2; exit 1; }
done
fuzz/cargo.sh build "${targets[@]/#/--bin=}"
if [[ -n ${FUZZ_BUDGET:-} ]]; then
  share=$(((FUZZ_BUDGET - SECONDS) * $(nproc) / ${#targets[@]}))
  FUZZ_SECONDS=$((share < 5 ? 5 : share < FUZZ_SECONDS ? share : FUZZ_SECONDS))
fi
programs=${CARGO_TARGET_DIR:-$PWD/target}/fuzz/$(rustc -vV | sed -n 's/^host: //p')/fuzz
echo "${#targets[@]} targets, $FUZZ_SECONDS s each, $(nproc) at a time"
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -n 1 fuzz/one.sh "$programs"
