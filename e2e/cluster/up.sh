#!/usr/bin/env bash
# Brings up the test cluster: two nodes, ordinary pods on both, a CNI chain that
# others may extend, kube-proxy by iptables. Does nothing if the same cluster is
# up already; anything else that an earlier run left goes first.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

healthy() {
  [[ $(nodes 2>/dev/null | wc -l) == 2 ]] || return 1
  timeout 10 "$here/enter.sh" kubectl get --raw /readyz >/dev/null 2>&1 || return 1
  ! kubectl get nodes --no-headers 2>/dev/null | grep -qv ' Ready '
}

# Local names for the images of our own node; the official one has its own.
config() {
  cat <<END
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
name: $cluster
networking: { disableDefaultCNI: true, kubeProxyMode: iptables }
nodes: [{ role: control-plane }, { role: worker }]
END
  [[ $(cat "$run/engine") == own ]] || return 0
  cat <<END
kubeadmConfigPatches:
- |
  kind: ClusterConfiguration
  imageRepository: localhost/kube
END
}

create() {
  rm -f "$run/recipe"
  within kind delete cluster --name "$cluster" --kubeconfig "$kubeconfig" >/dev/null 2>&1 || true
  say "cluster: create"
  config | within kind create cluster --quiet --config - --image "$image" --kubeconfig "$kubeconfig" >&2 \
    || { "$here/dump.sh" "$cache/failed" || true; die "kind failed; what the nodes say is in $cache/failed"; }
  kubectl taint nodes --all node-role.kubernetes.io/control-plane- >/dev/null 2>&1 || true
  kubectl label nodes --all node.kubernetes.io/exclude-from-external-load-balancers- >/dev/null 2>&1 || true
  if [[ $(cat "$run/engine") == own ]]; then
    kubectl -n kube-system create configmap coredns --from-file="$here/Corefile" --dry-run=client -o yaml \
      | kubectl replace -f - >/dev/null
  fi
  "$here/network.sh"
  kubectl wait --for=condition=Ready nodes --all --timeout=120s >/dev/null
  kubectl -n kube-system rollout status deployment/coredns --timeout=120s >/dev/null
  echo "$recipe" >"$run/recipe"
}

(( $(id -u) == 0 )) || die "root is needed: a cluster is made of namespaces and mounts"
lock
ensure jq
"$here/../tools/build.sh" kubernetes kind coredns >&2
"$here/engine.sh" start
if [[ $(cat "$run/engine") == own ]]; then image=$("$here/node.sh"); else
  image=${ADIT_E2E_NODE_IMAGE:-$official_image}; fi
recipe=$( { echo "$image"; config; cat "$here"/{network.sh,Corefile}; } | digest)
if [[ $(cat "$run/recipe" 2>/dev/null) == "$recipe" ]] && healthy; then
  say "cluster: up already"
else
  create
  say "cluster: up"
fi
