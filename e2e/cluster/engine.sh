#!/usr/bin/env bash
# The container engine of the cluster. `start` uses the Docker that answers on
# this machine if it has (or can pull) the official node image; else it starts a
# dockerd in namespaces of its own, so that bridges, rules, processes and mounts
# stay out of the machine's. `stop` ends what `start` started, and sweeps what a
# crash left.
#
#   engine.sh start|stop
#   ADIT_E2E_ENGINE=own|machine   force one of the two
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
node_image=${ADIT_E2E_NODE_IMAGE:-$official_image}

own() { DOCKER_HOST=unix://$socket timeout 60 docker "$@"; }

# The kubelet sets these for the whole machine, from inside any kind node.
changed_by_kubelet=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
  kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

machine_serves() {
  command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1 || return 1
  command docker image inspect "$node_image" >/dev/null 2>&1 \
    || timeout 180 docker pull -q "$node_image" >/dev/null 2>&1
}

start() {
  if [[ $(cat "$run/engine" 2>/dev/null) == own ]] && engine_pid >/dev/null \
    && own version >/dev/null 2>&1; then
    return
  fi
  stop
  case ${ADIT_E2E_ENGINE:-} in
    own) ;;
    machine) machine_serves || die "no Docker with $node_image here" && echo machine >"$run/engine" && return ;;
    '') if machine_serves; then echo machine >"$run/engine"; return; fi ;;
    *) die "ADIT_E2E_ENGINE is own or machine" ;;
  esac
  # There runc's exec leaves the container for the machine's own root.
  # A first process that shows nothing of itself proves nothing; node.sh tries it.
  [[ ! -e /proc/1/root/. || / -ef /proc/1/root/. ]] || die "in a chroot the engine cannot keep its containers apart; run it on the machine"
  ensure docker.io iptables iproute2 jq procps
  mkdir -p "$cache/docker" "$run"
  install -m 755 "$here/runc.sh" "$cache/runc"   # outlives this checkout
  echo own >"$run/engine"
  [[ -s $run/sysctls ]] || sysctl "${changed_by_kubelet[@]}" >"$run/sysctls"
  setsid unshare --net --mount --pid --fork --kill-child --mount-proc \
    "$here/engine-init.sh" </dev/null >"$run/engine.log" 2>&1 9>&- &
  local parent=$! try
  remember "$parent" "$run/engine.pid"
  for try in {1..300}; do
    kill -0 "$parent" 2>/dev/null || die "dockerd did not start: $(tail -5 "$run/engine.log")"
    [[ -S $socket ]] && own version >/dev/null 2>&1 && break
    (( try < 300 )) || die "dockerd does not answer: $(tail -5 "$run/engine.log")"
    sleep 0.1
  done
  sweep_nodes   # of a run that ended without being asked to
}

sweep_nodes() {
  local left
  mapfile -t left < <(own ps -aq 2>/dev/null)
  (( ${#left[@]} == 0 )) || own rm -fv "${left[@]}" >/dev/null
}

stop() {
  local pid
  if pid=$(engine_pid); then
    sweep_nodes || true
    kill -TERM "$pid" 2>/dev/null || true
    for _ in {1..100}; do engine_pid >/dev/null || break; sleep 0.1; done
  fi
  if pid=$(recall "$run/engine.pid"); then
    kill -KILL "$pid" 2>/dev/null || true
    for _ in {1..50}; do recall "$run/engine.pid" >/dev/null || break; sleep 0.1; done
  fi
  rm -rf "$run"/engine "$run/engine.pid" "$run/docker.pid" "$run/exec" "$socket"
  if [[ -s $run/sysctls ]]; then sysctl -q -p "$run/sysctls" && rm "$run/sysctls"; fi
  local root
  for root in /sys/fs/cgroup/*/ /sys/fs/cgroup/; do
    [[ -d $root$cgroup ]] || continue
    find "$root$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}

lock
case ${1-} in
  start | stop) "$1" ;;
  *) die "engine.sh start|stop" ;;
esac
