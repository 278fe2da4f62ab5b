#!/usr/bin/env bash
# Makes the images that the Gateway API suite's manifests ask for, under the
# names they ask for, from the programs of tools/build.sh: one archive a
# program into FOLDER, which load.sh takes.
#
#   echoes.sh FOLDER
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

out=${1:?echoes.sh FOLDER}
mkdir -p "$out"
mapfile -t wanted < <("$here/../tools/gateway-api.sh" images)
recipe=$( { printf '%s\n' "${wanted[@]}"; cat "$here"/{echoes,image}.sh "$bin"/.{echo,conformance,coredns}.recipe; } | digest)
[[ $(cat "$out/.recipe" 2>/dev/null) == "$recipe" ]] && exit
ensure openssl jq

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{echo-advanced/usr/local/bin,echo-basic,coredns}
cp "$bin/echo-server" "$work/echo-advanced/usr/local/bin/server"
cp "$bin/echo-client" "$work/echo-advanced/usr/local/bin/client"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=echo \
  -addext subjectAltName=DNS:echo -keyout "$work/echo-advanced/cert.key" -out "$work/echo-advanced/cert.crt" 2>/dev/null
chmod 644 "$work/echo-advanced/cert.key"
cp "$bin/echo-basic" "$work/echo-basic/echo-basic"
cp "$bin/coredns" "$work/coredns/coredns"

make_image() { # PROGRAM ENTRYPOINT: every wanted name that ends in PROGRAM
  local name names=()
  for name in "${wanted[@]}"; do [[ ${name%:*} != */"$1" ]] || names+=("$name"); done
  (( ${#names[@]} )) || die "the suite's manifests name no image $1"
  "$here/image.sh" "$out/$1.tar" "$work/$1" "${names[@]}" -- "$2"
}
make_image echo-advanced /usr/local/bin/server
make_image echo-basic /echo-basic
make_image coredns /coredns
for name in "${wanted[@]}"; do
  [[ -d $work/$(basename "${name%:*}") ]] || die "the suite asks for $name, which nothing here makes"
done
echo "$recipe" >"$out/.recipe"
