#!/usr/bin/env bash
# Makes the image of the Redis that tests of global rate limits count in: Debian's redis-server of this machine with
# the libraries it loads.
#
#   redis.sh OUT.tar
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

out=${1:?redis.sh OUT.tar}
ensure redis-server jq
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
install -D -m 755 "$(command -v redis-server)" "$root/usr/bin/redis-server"
mkdir -p "$root/tmp"
chmod 1777 "$root/tmp"
# Every line of ldd that names a file: the libraries, and the loader itself.
ldd "$root/usr/bin/redis-server" | grep -oE '/[^ ]+' | while read -r library; do
  install -D -m 755 "$(readlink -f "$library")" "$root$library"
done
mkdir -p "$(dirname "$out")"
"$here/image.sh" "$out" "$root" adit-e2e/redis:debian -- /usr/bin/redis-server
