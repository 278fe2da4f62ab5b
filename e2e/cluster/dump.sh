#!/usr/bin/env bash
# Writes what the nodes and the cluster know of themselves into a folder: for
# the artefacts of a failed run.
#
#   dump.sh FOLDER
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

out=${1:?dump.sh FOLDER}
mkdir -p "$out"
cp "$run/engine.log" "$out/" 2>/dev/null
for node in $(nodes); do
  docker logs "$node" >"$out/$node.console" 2>&1
  docker exec "$node" journalctl --no-pager -b >"$out/$node.journal" 2>&1
  docker exec "$node" bash -c 'head -50 /etc/cni/net.d/*; ip addr; ip route; nft list ruleset' >"$out/$node.network" 2>&1
  docker exec "$node" tar -C /var/log -cf - pods 2>/dev/null | tar -C "$out" -xf - 2>/dev/null
done
timeout 20 "$here/enter.sh" kubectl get nodes,pods,services,endpointslices -A -o wide >"$out/objects" 2>&1
timeout 20 "$here/enter.sh" kubectl get events -A --sort-by=.lastTimestamp >"$out/events" 2>&1
exit 0
