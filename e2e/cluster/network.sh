#!/usr/bin/env bash
# The pods' network: on each node a chain of standard CNI plugins over the
# node's own range of addresses, and a route to every other node's range. Files
# and routes only, no programs, so that a chained plugin has a plain chain to
# join. Safe to run again: it never overwrites a chain that stands.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

file=/etc/cni/net.d/10-$cluster.conflist
mapfile -t rows < <(kubectl get nodes -o jsonpath='{range .items[*]}{.metadata.name} {.spec.podCIDR} {.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}')
for row in "${rows[@]}"; do
  read -r node range _ <<<"$row"
  [[ $range ]] || die "$node has no podCIDR"
  {
    echo "test -f $file || cat >$file <<'END'"
    jq -n --arg range "$range" '{
      cniVersion: "0.4.0", name: "adit-e2e", plugins: [
        { type: "ptp", mtu: 1500, ipam: { type: "host-local", dataDir: "/run/cni-ipam", ranges: [[{ subnet: $range }]], routes: [{ dst: "0.0.0.0/0" }] } },
        { type: "portmap", capabilities: { portMappings: true } }
      ] }'
    echo END
    for other in "${rows[@]}"; do
      read -r name cidr address <<<"$other"
      [[ $name == "$node" ]] || echo "ip route replace $cidr via $address"
    done
  } | docker exec -i "$node" bash -eu
done
