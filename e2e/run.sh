#!/usr/bin/env bash
# The whole end-to-end run, from an empty cluster to an empty cluster: the guide, the charts, the suite, the
# Gateway API's conformance, uninstall. With KUBECONFIG exported it uses that cluster, which
# then needs the image; without, it makes one, with the image in IMAGE_ARCHIVE. ADIT_BINARY is the static program `adit`.
#
#   E2E_STEPS='tests suite'   only these steps, on what is there
#   KEEP=1                    leave the cluster up
#   UPDATE=1                  keep the conformance report in docs/conformance
#   E2E_LONG=1                longer outages
#   HELM_ARGS='--set hub=…'   more for helm install and upgrade
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."
source "$here/steps.sh"

# NAME:MINUTES, in their order. `setup` steps end the run when they fail, the others are counted.
readonly plan=(
  tools:60:setup up:20:setup image:5:setup gateway_api:5:setup before:3:setup tests:40:setup
  quickstart:15:check install:8:setup suite:40:check experimental:5:check rollout:20:check outage:20:check conformance:30:check
  helm_test:3:check uninstall:10:check nothing_left:6:check down:5:setup
)

# A step is this script again, so that `timeout` can end it and all it has started.
if [[ ${1-} == --step ]]; then "step_$2"; exit; fi

if [[ ${KUBECONFIG-} ]]; then export E2E_OWN=no; else export E2E_OWN=yes; fi
[[ $E2E_OWN == no ]] || export E2E_NODE_EXEC=docker
[[ ${E2E_STEPS-} ]] || rm -rf "$out"
mkdir -p "$out/log"

wanted() {
  case $1 in
    # CRDs of somebody else's cluster are not ours to change.
    tools | up | image | experimental | down) [[ $E2E_OWN == yes ]] || return 1 ;;
  esac
  [[ $1 != down || ! ${KEEP-} ]] || return 1
  [[ -z ${E2E_STEPS-} || " $E2E_STEPS " == *" $1 "* ]]
}

broken=()
for entry in "${plan[@]}"; do
  IFS=: read -r name minutes sort <<<"$entry"
  wanted "$name" || continue
  started=$SECONDS
  status=0
  timeout --kill-after=30 "${minutes}m" "$here/run.sh" --step "$name" >"$out/log/$name" 2>&1 || status=$?
  echo "$name: $( ((status)) && echo "FAILED ($status)" || echo ok) in $((SECONDS - started)) s"
  ((status)) || continue
  broken+=("$name")
  tail -n 40 "$out/log/$name"
  dump "$name"
  [[ $sort != setup ]] || break
done

summary
if ((${#broken[@]})); then
  echo "failed: ${broken[*]}; logs are in $out/log, evidence in $out" >&2
  exit 1
fi
