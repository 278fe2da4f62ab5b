#!/usr/bin/env bash
# Assembles the root file system of the image: the binary, `nft` with exactly the
# libraries it loads and their licences, accounts, and the mount points of the charts.
#
#   rootfs.sh BINARY FOLDER
set -euo pipefail
binary=$1 root=$2

rm -rf "$root"
mkdir -p "$root"/{etc,proc,sys,dev,usr/sbin,usr/share/doc,var/run} "$root/tmp"
chmod 1777 "$root/tmp"
install -m 755 "$binary" "$root/adit"
printf 'root:x:0:0::/:/adit\nadit:x:1337:1337::/:/adit\n' >"$root/etc/passwd"
printf 'root:x:0:\nadit:x:1337:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"

nft=$(PATH=$PATH:/usr/sbin command -v nft) || { echo "nft is missing; install the package nftables" >&2; exit 1; }
install -m 755 "$nft" "$root/usr/sbin/nft"
# Every line of ldd that names a file: the libraries, and the loader itself.
# `nft` was linked to find them where Debian has them.
ldd "$nft" | grep -oE '/[^ ]+' | while read -r library; do
  file=$(readlink -f "$library")
  install -D -m 755 "$file" "$root$library"
  # On a merged /usr the package manager may know a file by its name from before.
  package=$({ dpkg-query -S "$file" || dpkg-query -S "${file#/usr}"; } 2>/dev/null | head -n 1 | cut -d: -f1) || true
  [[ -z $package ]] || install -D -m 644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
done
install -D -m 644 /usr/share/doc/nftables/copyright "$root/usr/share/doc/nftables/copyright"
