#!/usr/bin/env bash
# What the pinned Gateway API modules hold beside code: prints the CRDs of a
# channel, or the names of the images that the suite's manifests ask for.
#
#   gateway-api.sh crds standard|experimental [PLURAL]
#   gateway-api.sh images
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/conformance"

folder() { GOFLAGS=-mod=mod go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'; }
version() { go list -m -f '{{with .Replace}}{{.Path}}@{{.Version}}{{else}}{{.Path}}@{{.Version}}{{end}}' "$1"; }

case ${1-} in
  crds)
    for file in "$(folder "$(version sigs.k8s.io/gateway-api)")/config/crd/${2:?standard or experimental}"/gateway*"${3-}".yaml; do
      echo '---'
      cat "$file"
    done
    ;;
  images)
    grep -rhoE --include='*.yaml' '^ +image: +[^ ]+' "$(folder "$(version sigs.k8s.io/gateway-api/conformance)")" \
      | awk '{ print $2 }' | sort -u
    ;;
  *) echo "gateway-api.sh crds CHANNEL [PLURAL] | images" >&2; exit 2 ;;
esac
