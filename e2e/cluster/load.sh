#!/usr/bin/env bash
# Puts image archives (as `docker save` or image.sh write them) into every node.
#
#   load.sh ARCHIVE.tar|FOLDER_OF_ARCHIVES…
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

archives=()
for argument in "$@"; do
  if [[ -d $argument ]]; then archives+=("$argument"/*.tar); else archives+=("$argument"); fi
done
(( ${#archives[@]} )) || die "load.sh ARCHIVE.tar|FOLDER…"
mapfile -t names < <(nodes)
(( ${#names[@]} )) || die "no node is up"
for archive in "${archives[@]}"; do
  [[ -f $archive ]] || die "$archive: no such archive"
  jobs=()
  for node in "${names[@]}"; do
    docker exec -i "$node" ctr --namespace k8s.io images import - <"$archive" >/dev/null &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job"; done
done
