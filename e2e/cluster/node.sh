#!/usr/bin/env bash
# Builds the node image into the engine, if it is not there, and prints its
# name: Debian packages, the Kubernetes binary, and the images of the control
# plane in containerd's store. Kept by a hash of all that goes into it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

suite=bookworm
packages=systemd,systemd-sysv,conntrack,iptables,nftables,iproute2,ethtool,util-linux,mount,kmod,procps
packages+=,jq,curl,ca-certificates,bash,containerd,runc,containernetworking-plugins,socat,e2fsprogs
image_packages=iptables,nftables,conntrack   # what kube-proxy calls
repository=localhost/kube

# The machine's proxy for packages, if it has one.
proxy=$(apt-config shell proxy Acquire::http::Proxy | sed "s/^proxy='\\(.*\\)'$/\\1/")
options=(--quiet ${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\";"})

base=$(echo "$suite $packages" | digest)
recipe=$(cd "$here" && { cat node/* node.sh image.sh "$bin"/.{kubernetes,kind,coredns}.recipe; echo "$base"; } | digest)
image=adit-e2e/node:$recipe

# Programs of the control plane, as images with the names kubeadm asks for.
control_plane_images() {
  local root=$1/root name
  mkdir -p "$root/coredns" "$root/pause"
  ensure mmdebstrap
  mmdebstrap "${options[@]}" --variant=extract --include="$image_packages" "$suite" "$root/kube" >&2
  # What the package's own script would choose, which is not run here.
  for name in iptables ip6tables; do
    ln -sf xtables-nft-multi "$root/kube/usr/sbin/$name"
    ln -sf xtables-nft-multi "$root/kube/usr/sbin/$name-save"
    ln -sf xtables-nft-multi "$root/kube/usr/sbin/$name-restore"
  done
  rm -rf "$root"/kube/{dev,usr/share/{doc,man,locale},var/lib/apt,var/cache/apt}
  mkdir -p "$root/kube/usr/local/bin" "$root/kube/tmp"
  cp "$bin/kubernetes" "$root/kube/usr/local/bin/"
  local kube=()
  for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
    ln -s kubernetes "$root/kube/usr/local/bin/$name"
    kube+=("$repository/$name:$kubernetes_version")
  done
  ln -s kubernetes "$root/kube/usr/local/bin/etcd"
  cp "$bin/coredns" "$root/coredns/coredns"
  cp "$bin/pause" "$root/pause/pause"
  "$here/image.sh" "$1/kube.tar" "$root/kube" "${kube[@]}" "$repository/etcd:3.6.5-0"
  "$here/image.sh" "$1/coredns.tar" "$root/coredns" "$repository/coredns:v1.12.1" -- /coredns
  "$here/image.sh" "$1/pause.tar" "$root/pause" "$repository/pause:3.10.1" -- /pause
  rm -rf "$root"
}

rootfs() {
  local tar=$cache/rootfs-$base.tar
  [[ -f $tar ]] && { echo "$tar"; return; }
  say "node: Debian packages"
  ensure mmdebstrap
  rm -f "$cache"/rootfs-*
  mmdebstrap "${options[@]}" --variant=minbase --include="$packages" "$suite" "$tar.new.tar" >&2
  mv "$tar.new.tar" "$tar"
  echo "$tar"
}

build() {
  local tar work builder=adit-e2e-builder old
  tar=$(rootfs)
  say "node: image $image"
  work=$(mktemp -d "$cache/node.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  control_plane_images "$work"

  docker rm -f "$builder" >/dev/null 2>&1 || true
  # Of earlier recipes; one that a running node still uses goes the next time.
  docker images -q 'adit-e2e/*' | sort -u | while read -r old; do docker rmi -f "$old"; done >/dev/null 2>&1 || true
  docker image prune -f >/dev/null
  docker import "$tar" adit-e2e/rootfs:latest >/dev/null
  docker run -d --privileged --network none --tmpfs /inside --name "$builder" --entrypoint sleep adit-e2e/rootfs:latest infinity >/dev/null
  install -d "$work"/add/{kind,tmp,etc/containerd,etc/systemd/system,usr/local/bin}
  echo "$kubernetes_version" >"$work/add/kind/version"
  cp "$here/node/containerd.toml" "$work/add/etc/containerd/config.toml"
  cp "$here"/node/*.service "$work/add/etc/systemd/system/"
  cp "$here"/node/{entrypoint,kubelet-cgroup} "$bin/kubernetes" "$work/add/usr/local/bin/"
  cp "$here/node/setup" "$work/add/tmp/"
  mv "$work"/*.tar "$work/add/tmp/"
  docker exec "$builder" test -d /inside || die "docker exec does not land in the container"
  tar -C "$work/add" --owner=0 --group=0 --mode=u+rwX,go+rX,go-w -cf - . \
    | docker exec -i "$builder" tar -C / --no-overwrite-dir -xf -
  docker exec "$builder" /tmp/setup
  docker commit --change 'ENV container=docker' \
    --change 'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]' "$builder" "$image" >/dev/null
  docker rm -f "$builder" >/dev/null
}

docker image inspect "$image" >/dev/null 2>&1 || build >&2
echo "$image"
