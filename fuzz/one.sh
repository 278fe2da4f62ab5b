#!/usr/bin/env bash
# Runs one target for FUZZ_SECONDS and says in one line what came of it. What it learns stays in
# the user's cache folder for the next run; an input that breaks it, too, and then this fails.
# With FUZZ_SEED the run starts from the seeds alone and takes the same way every time.
# usage: fuzz/one.sh <folder of the programs> <target>
set -euo pipefail
cd "$(dirname "$0")/.."
target=$2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/adit/fuzz
crashes=$cache/crashes
log=$cache/logs/$target
corpus=$cache/corpus/$target
mkdir -p "$corpus" "$cache/logs" "$crashes"
options=(-max_total_time="$FUZZ_SECONDS" -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$crashes/$target-")
if [[ -n ${FUZZ_SEED:-} ]]; then
  options+=(-seed="$FUZZ_SEED")
  corpus=$(mktemp -d)
  trap 'rm -rf "$corpus"' EXIT
fi
if [[ -f fuzz/dictionaries/$target ]]; then
  options+=(-dict="fuzz/dictionaries/$target")
fi
# An allocation out of all proportion fails at once, before it is used.
ulimit -v $((4 << 20))
export RUST_BACKTRACE=0
failed=0
"$1/$target" "${options[@]}" "$corpus" "fuzz/corpus/$target" >"$log" 2>&1 || failed=$?
runs=$(sed -nE 's/^Done ([0-9]+) runs.*/\1/p' "$log")
seen=$(sed -nE 's/.* cov: ([0-9]+) ft: [0-9]+ corp: ([0-9]+).*/\1 \2/p' "$log" | tail -n 1)
if ((failed)); then
  echo "$target: FAILED, see $log"
  grep -vE '^(INFO|WARNING|#[0-9])' "$log" | head -n 20
  echo "the input is in $crashes; once more with it: $1/$target <file>"
  exit 1
fi
printf '%-24s %12s runs %7s edges %6s inputs\n' "$target" "$runs" "${seen% *}" "${seen#* }"
