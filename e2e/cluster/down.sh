#!/usr/bin/env bash
# Takes the test cluster down, and the engine with it if up.sh started one.
# Built tools and the node image stay in the cache.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

lock
if [[ $(cat "$run/engine" 2>/dev/null) == machine ]]; then
  within kind delete cluster --name "$cluster" --kubeconfig "$kubeconfig" >/dev/null 2>&1 || true
fi
"$here/engine.sh" stop
rm -f "$run/recipe" "$kubeconfig" "$kubeconfig.lock"
