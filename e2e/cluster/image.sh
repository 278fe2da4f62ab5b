#!/usr/bin/env bash
# Makes an image archive (as `docker save` writes it) from a folder, with tar
# and jq alone: no engine needed. Same input, same bytes.
#
#   image.sh OUT.tar FOLDER NAME[:TAG]… [-- ENTRYPOINT [ARGUMENT]…]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

(( $# >= 3 )) || die "image.sh OUT.tar FOLDER NAME… [-- ENTRYPOINT…]"
out=$1 folder=$2
shift 2
names=()
while (( $# )) && [[ $1 != -- ]]; do names+=("$1"); shift; done
(( $# )) && shift

work=$(mktemp -d "$(dirname "$out")/.image.XXXXXX")
trap 'rm -rf "$work"' EXIT
archive=(tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0)
"${archive[@]}" -C "$folder" -cf "$work/layer.tar" .
layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac

jq -n --arg layer "sha256:$layer" --arg arch "$arch" '{
    architecture: $arch, os: "linux", created: "1970-01-01T00:00:00Z",
    config: {
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], WorkingDir: "/",
      Entrypoint: (if $ARGS.positional == [] then null else $ARGS.positional end)
    },
    rootfs: { type: "layers", diff_ids: [$layer] }
  }' --args -- "$@" >"$work/config.json"
config=$(sha256sum "$work/config.json" | cut -d' ' -f1)
mv "$work/config.json" "$work/$config.json"
jq -n --arg config "$config.json" '[{ Config: $config, RepoTags: $ARGS.positional, Layers: ["layer.tar"] }]' \
  --args -- "${names[@]}" >"$work/manifest.json"
"${archive[@]}" -C "$work" -cf "$out.new" manifest.json "$config.json" layer.tar
mv -f "$out.new" "$out"
