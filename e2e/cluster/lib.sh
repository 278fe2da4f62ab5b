# shellcheck shell=bash disable=SC2034
# Names, paths and small helpers that the scripts of this folder share. Sourced.
cluster=${ADIT_E2E_NAME:-adit-e2e}   # another name is a second cluster beside the first
kubernetes_version=v1.34.2
official_image=kindest/node:v1.34.3   # where images can be pulled
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/adit/e2e
bin=$cache/bin
run=/run/$cluster                # of this boot: sockets, pid files, the lock
socket=$run/docker.sock
kubeconfig=$run/kubeconfig
cgroup=$cluster                  # everything the engine starts lives below it

say() { echo "[$(date -u +%T)] $*" >&2; }
die() { echo "error: $*" >&2; exit 1; }

# One cluster a machine, one script at a time that changes it. Descriptor 9 is
# closed for whatever outlives the script.
lock() {
  [[ ${ADIT_E2E_LOCKED-} ]] && return
  mkdir -p "$run"
  exec 9>"$run/lock"
  flock -w 1800 9 || die "another run holds $run/lock"
  export ADIT_E2E_LOCKED=1
}

ensure() {
  local package missing=() made=
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
  done
  (( ${#missing[@]} )) || return 0
  say "installing ${missing[*]}"
  # Packages with daemons must not start them: docker.io would write its rules
  # and bridges into the machine's own network.
  if [[ ! -e /usr/sbin/policy-rc.d ]]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    made=1
  fi
  local status=0
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null; } || status=$?
  [[ -z $made ]] || rm -f /usr/sbin/policy-rc.d
  return "$status"
}

# A process is named by its number and its start time, so that a number used
# again is never taken for ours.
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
remember() { echo "$1 $(started_at "$1")" >"$2"; }
recall() {
  local pid start
  read -r pid start 2>/dev/null <"$1" || return 1
  [[ $start && $(started_at "$pid") == "$start" ]] && echo "$pid"
}

# The first process inside the engine's namespaces, if it lives. What is
# remembered is its parent, which stays outside and takes it along when it ends.
engine_pid() {
  local parent child
  parent=$(recall "$run/engine.pid") || return 1
  child=$(cat "/proc/$parent/task/$parent/children")
  [[ $child ]] && echo "${child%% *}"
} 2>/dev/null

# Becomes a command where the cluster is: in its network namespace if it has one,
# with the tools of the cache first in the path.
within_exec() {
  local pid enter=()
  if [[ $(cat "$run/engine" 2>/dev/null) == own ]]; then
    pid=$(engine_pid) || die "the engine does not run: e2e/cluster/up.sh starts it"
    enter=(nsenter --target "$pid" --net --)
    export DOCKER_HOST=unix://$socket
  fi
  export PATH=$bin:$PATH KUBECONFIG=$kubeconfig KIND_EXPERIMENTAL_PROVIDER=docker
  exec 9>&- "${enter[@]}" "$@"
}
within() { (within_exec "$@"); }
docker() { within docker "$@"; }
kubectl() { within kubectl "$@"; }
nodes() { docker ps --filter "label=io.x-k8s.kind.cluster=$cluster" --format '{{.Names}}' | sort; }

# Hash of files and words, for what is kept between runs.
digest() { sha256sum | cut -c1-16; }
