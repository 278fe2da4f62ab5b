#!/usr/bin/env bash
# First process of the engine's own network, mount and process namespaces:
# runs dockerd and ends with it. When this process ends, however it ends, the
# kernel ends everything started below it and drops its mounts and its network,
# so no crash can leave a half of a cluster behind. Called by engine.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ip link set lo up
sysctl -qw net.ipv4.ip_forward=1          # of this namespace alone
rm -rf "$run/exec" "$socket" "$run/docker.pid"
dockerd \
  --data-root "$cache/docker" --exec-root "$run/exec" --pidfile "$run/docker.pid" \
  --host "unix://$socket" --group root --cgroup-parent "/$cgroup" --exec-opt native.cgroupdriver=cgroupfs \
  --add-runtime held="$cache/runc" --default-runtime held &
daemon=$!
trap 'kill -TERM "$daemon" 2>/dev/null' TERM INT
while kill -0 "$daemon" 2>/dev/null; do wait "$daemon" || true; done
