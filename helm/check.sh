#!/usr/bin/env bash
# Checks the charts without installing them: lint, every switch of the values rendered,
# mistakes refused. Where a cluster answers, its API server checks what was rendered too.
#
#   check.sh        (needs helm; uses kubectl and the cluster it knows, if any)
set -euo pipefail
cd "$(dirname "$0")"
rendered=$(mktemp)
trap 'rm -f "$rendered"' EXIT
failed=0
fail() { echo "FAIL $*" >&2; failed=1; }

cluster=none
if kubectl version --request-timeout=5s >/dev/null 2>&1; then cluster=reached; fi

# Renders a chart; with a cluster, each object must be one that it would take.
accepted() { # CHART [--set VALUE]…
  local chart=$1 said
  shift
  helm template "$chart" "$chart" --namespace default "$@" >"$rendered" || { fail "$chart $*"; return; }
  [[ $cluster == reached ]] || return 0
  said=$(kubectl apply --server-side --dry-run=server --force-conflicts --field-manager=adit-check \
    --validate=strict -f "$rendered" 2>&1) || { grep -i error <<<"$said" >&2; fail "$chart $* (API server)"; }
}

# The schema must refuse it, and name the value.
refused() { # VALUE NAME
  local said
  said=$(helm template adit adit --set "$1" 2>&1 >/dev/null) && { fail "$1 is taken"; return; }
  grep -qF -- "$2" <<<"$said" || fail "$1: the message does not name $2: $said"
}

# What the values make of the chart: a text that is to be there, or (!) is not.
renders() { # TEXT [--set VALUE]…
  local text=$1
  shift
  helm template adit adit --namespace mesh "$@" >"$rendered"
  if [[ $text == !* ]]; then
    ! grep -qF -- "${text#!}" "$rendered" || fail "$*: holds ${text#!}"
  else
    grep -qF -- "$text" "$rendered" || fail "$*: lacks $text"
  fi
}

for chart in adit-base adit; do
  helm lint --strict --quiet "$chart" || fail "lint $chart"
  accepted "$chart"
done
accepted adit-base --set base.enableCRDTemplates=false
accepted adit-base --set aggregateRoles=false
for value in controller.autoscaleEnabled=true controller.replicaCount=3 global.networkPolicy.enabled=true \
  resourceQuotas.enabled=true validation.enabled=false global.logAsJson=true global.network=north revision=canary \
  ztunnel.enabled=false cni.enabled=false 'controller.serverNames={a.example.com}' 'global.imagePullSecrets={pull}' \
  global.waypoint.env.SOME=1 controller.env.SOME=true cni.cniConfFileName=10-x.conflist cni.taint.enabled=true \
  ztunnel.peerCaCrl.enabled=true rateLimiter.enabled=true; do
  accepted adit --set "$value"
done

accepted adit --set rateLimiter.enabled=true,rateLimiter.redis.secretName=redis,global.networkPolicy.enabled=true \
  --set-json 'rateLimiter.limits={"shop":{"domain":"shop","descriptors":[{"key":"plan"}]}}'

for mistake in meshConfig.accessLogEncoding=XML:accessLogEncoding hubb=x:hubb global.logLevel=x:logLevel controller.replicaCount=0:replicaCount \
  cni.cniBinDir=opt/cni/bin:cniBinDir revision=Big:revision ztunnel.tolerations=x:tolerations \
  rateLimiter.redis.url=redis.shop:url rateLimiter.limits.shop.domain=shop:descriptors \
  cni.healthPort=70000:healthPort ztunnel.terminationGracePeriodSeconds=0:terminationGracePeriodSeconds; do
  refused "${mistake%:*}" "${mistake##*:}"
done

renders 'name: adit-controller-canary' --set revision=canary
renders 'name: istiod-canary' --set revision=canary
renders '!kind: DaemonSet' --set ztunnel.enabled=false --set cni.enabled=false
renders '!adit-node-agent' --set cni.enabled=false
renders '!PodDisruptionBudget'
renders 'PodDisruptionBudget' --set controller.replicaCount=2
renders '!privileged: true'
# These belong to the controller; named in the chart they would make a rollback conflict.
for field in 'failurePolicy:' 'caBundle:'; do renders "!$field"; done
renders '!ValidatingWebhookConfiguration' --set validation.enabled=false
renders 'value: kube-system,mesh'
renders '!CRL_PATH'
renders 'name: istio-ca-crl' --set ztunnel.peerCaCrl.enabled=true
renders '!rate-limiter'
renders 'name: adit-rate-limiter-canary' --set rateLimiter.enabled=true --set revision=canary
renders 'value: "redis://r:1"' --set rateLimiter.enabled=true --set rateLimiter.redis.url=redis://r:1
renders 'secretKeyRef: { name: red, key: url }' --set rateLimiter.enabled=true --set rateLimiter.redis.secretName=red
renders '!RATE_LIMITS' --set rateLimiter.enabled=true
renders 'shop.yaml: |' --set rateLimiter.enabled=true \
  --set-json 'rateLimiter.limits={"shop":{"domain":"shop","descriptors":[{"key":"plan"}]}}'
renders '!PodDisruptionBudget' --set rateLimiter.enabled=true --set rateLimiter.replicaCount=1
renders '!REMOVE_NODE_TAINT'
renders 'REMOVE_NODE_TAINT' --set cni.taint.enabled=true

(( failed )) && exit 1
echo "charts: as expected (cluster: $cluster)"
