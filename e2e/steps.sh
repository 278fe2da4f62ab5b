# shellcheck shell=bash
# The steps of run.sh, each a function step_NAME, and what they share. Sourced, with the repository's root as
# the working directory.
out=$(realpath -m "${CARGO_TARGET_DIR:-target}")/e2e
readonly out
readonly namespace=istio-system
readonly cluster=$PWD/e2e/cluster
read -ra helm_args <<<"${HELM_ARGS-}"

# Runs a command where the cluster can be reached.
reach() {
  # `command`: kubectl and helm are functions here, which come back to this one.
  if [[ $E2E_OWN == yes ]]; then "$cluster/enter.sh" "$@"; else command "$@"; fi
}
kubectl() { reach kubectl "$@"; }
helm() { reach helm "$@"; }

version() { sed -n 's/^appVersion: *//p' helm/adit/Chart.yaml; }

step_tools() { e2e/tools/build.sh; }
step_up() { "$cluster/up.sh"; }
step_down() { "$cluster/down.sh"; }

step_image() {
  local echoes=${XDG_CACHE_HOME:-$HOME/.cache}/adit/e2e/images
  "$cluster/echoes.sh" "$echoes"
  "$cluster/redis.sh" "$out/redis.tar"
  "$cluster/load.sh" "${IMAGE_ARCHIVE:?names the image of the mesh}" "$out/redis.tar" "$echoes"
}

step_gateway_api() {
  e2e/tools/gateway-api.sh crds standard >"$out/standard-install.yaml"
  [[ $E2E_OWN == yes ]] || ! kubectl get crd gateways.gateway.networking.k8s.io >/dev/null 2>&1 || return 0
  kubectl apply --server-side -f "$out/standard-install.yaml"
}

# Every object of every kind: KIND NAMESPACE NAME. Left out is what comes and goes by itself or is another
# view of the same.
inventory() {
  local kinds
  kinds=$(kubectl api-resources --verbs=list -o name \
    | grep -vxE 'events(\.events\.k8s\.io)?|componentstatuses|.*\.metrics\.k8s\.io|certificatesigningrequests\..*' | paste -sd,)
  kubectl get "$kinds" -A --no-headers --ignore-not-found \
    -o 'custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name' \
    | sed -E 's/ +/ /g; s/ $//' | sort -u
}

# What a mesh could leave on a node.
node_inventory() {
  local node
  [[ $E2E_OWN == yes ]] || return 0
  kubectl get nodes -o name | while IFS=/ read -r _ node; do
    # shellcheck disable=SC2016
    reach docker exec "$node" bash -c 'sha256sum /etc/cni/net.d/*; ls -d /opt/cni/bin/* /var/run/adit-cni/* /var/run/ztunnel/*; nft list tables' \
      2>/dev/null </dev/null | sed "s/^/$node /" || true
  done | sort -u
}

step_before() {
  inventory >"$out/objects-before"
  node_inventory >"$out/nodes-before"
}

# Compiled out here, where cargo reaches its registry; run where the cluster is.
step_tests() {
  "${CARGO:-cargo}" test --workspace --test cluster --locked --no-run --message-format=json >"$out/build.json"
  jq -r 'select(.reason == "compiler-artifact" and .target.name == "cluster" and .executable) | .executable' \
    "$out/build.json" | tail -n 1 >"$out/binary"
  [[ -s $out/binary ]]
}

# tests NAME ARGUMENT…: runs the test binary and keeps what it says under the name.
tests() {
  local name=$1
  shift
  RUST_BACKTRACE=0 ADIT_E2E_EVIDENCE=$out/evidence E2E_GATEWAY_API=$out/standard-install.yaml \
    reach "$(<"$out/binary")" "$@" 2>&1 | tee "$out/$name.result"
}

step_quickstart() { E2E_QUICKSTART=1 tests quickstart quickstart:: --nocapture; }
step_suite() { tests suite --test-threads=4 --skip outage:: --skip rollout:: --skip quickstart:: --skip experimental::; }
step_rollout() { tests rollout rollout:: --test-threads=1 --nocapture; }
step_outage() { tests outage outage:: --test-threads=1 --nocapture; }

# The CRD of HTTPRoutes is the experimental one meanwhile: the other has no field for sessions. The Gateway API's own
# policy is against that, so its binding goes first, and comes back with the rest.
step_experimental() {
  local status=0 try
  kubectl delete validatingadmissionpolicybinding safe-upgrades.gateway.networking.k8s.io
  for try in {1..10}; do
    # API servers go by what they knew for a moment.
    e2e/tools/gateway-api.sh crds experimental httproutes | kubectl apply --server-side --force-conflicts -f - && break
    echo "try $try"
    sleep 1
  done
  tests experimental experimental:: --test-threads=1 || status=$?
  kubectl apply --server-side --force-conflicts -f "$out/standard-install.yaml"
  return "$status"
}

# By the program's own commands; the guide and the upgrade use the charts by hand.
step_install() {
  reach "${ADIT_BINARY:?names the static program adit}" install --namespace "$namespace" "${helm_args[@]}"
}

# The suite's own manifests label nothing and make no waypoint, so the namespaces are there before it.
conformance_namespaces() {
  local name
  for name in gateway-conformance-mesh gateway-conformance-mesh-consumer; do
    kubectl apply -f - <<END
apiVersion: v1
kind: Namespace
metadata:
  name: $name
  labels: { istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: waypoint, namespace: $name }
spec:
  gatewayClassName: istio-waypoint
  listeners: [{ name: mesh, port: 15008, protocol: HBONE }]
END
    kubectl -n "$name" wait gateway/waypoint --for=condition=Programmed --timeout=120s
  done
}

step_conformance() {
  local features status=0
  reach bash -c 'command -v conformance' >/dev/null || { echo 'the suite is not built here: left out'; return 0; }
  features=$(paste -sd, e2e/conformance-features)
  conformance_namespaces
  reach e2e/conformance.sh -supported-features="$features" \
    -namespace-labels=istio.io/dataplane-mode=ambient,istio.io/use-waypoint=waypoint \
    -organization=adit -project=adit -url="${CONFORMANCE_URL:-https://adit.io}" -version="$(version)" \
    -contact="${CONFORMANCE_CONTACT:-the maintainers}" \
    -report-output="$out/conformance-report.yaml" 2>&1 | tee "$out/conformance.result" || status=$?
  kubectl delete namespace gateway-conformance-mesh gateway-conformance-mesh-consumer --ignore-not-found
  if [[ ${UPDATE-} && -s $out/conformance-report.yaml ]]; then
    mkdir -p docs/conformance
    cp "$out/conformance-report.yaml" "docs/conformance/mesh-$(version).yaml"
  fi
  return "$status"
}

step_helm_test() { helm test adit -n "$namespace" --timeout 2m; }

step_uninstall() {
  # Of tests that have just ended.
  kubectl wait namespace -l adit-e2e=true --for=delete --timeout=180s
  reach "${ADIT_BINARY:?names the static program adit}" uninstall --namespace "$namespace" --purge
  kubectl delete namespace "$namespace" --wait
}

step_nothing_left() {
  local try
  for try in {1..5}; do
    inventory >"$out/objects-after"
    node_inventory >"$out/nodes-after"
    comm -13 "$out/objects-before" "$out/objects-after" >"$out/left"
    comm -13 "$out/nodes-before" "$out/nodes-after" >>"$out/left"
    [[ -s $out/left ]] || return 0
    # What has an owner that is gone is collected a moment later.
    echo "try $try: $(wc -l <"$out/left") left"
    sleep 3
  done
  echo 'left behind:'
  cat "$out/left"
  return 1
}

# Evidence of a step that has failed, while it is fresh.
dump() {
  local folder=$out/dump/$1
  mkdir -p "$folder"
  if [[ $E2E_OWN == yes ]]; then
    timeout 120 "$cluster/dump.sh" "$folder" || true
  else
    timeout 60 kubectl get pods,services,gateways,events -A -o wide >"$folder/objects" 2>&1 || true
  fi
  echo "what the cluster says is in $folder"
}

# The last line: tests of ours and of the Gateway API's suite together.
summary() {
  local passed failed
  passed=$(counted 'test result: .* \([0-9]*\) passed;.*' '^    --- PASS: TestConformance/')
  failed=$(counted 'test result: .* passed; \([0-9]*\) failed;.*' '^    --- FAIL: TestConformance/')
  echo "$passed passed, $failed failed"
}

counted() { # LIBTEST_PATTERN GO_PATTERN
  local ours theirs
  ours=$(cat "$out"/*.result 2>/dev/null | sed -n "s/^$1\$/\\1/p" | awk '{ sum += $1 } END { print sum }')
  theirs=$(grep -c "$2" "$out/conformance.result" 2>/dev/null || true)
  echo $((${ours:-0} + ${theirs:-0}))
}
