#!/usr/bin/env bash
# Compiles the test tools (Kubernetes itself, kind, helm, CoreDNS, the echoes
# and the Gateway API suite) from the pinned modules beside this file into the
# cache. What is up to date is left alone, so a warm run takes a moment.
#
#   build.sh [kubernetes|kind|coredns|helm|echo|conformance]…     default: all
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
bin=${XDG_CACHE_HOME:-$HOME/.cache}/adit/e2e/bin
mkdir -p "$bin"

kubernetes_version=v1.34.2
helm_version=v4.3.1

# go_build OUTPUT PACKAGE [EXTRA_LDFLAGS]: one static, stripped program.
go_build() {
  CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -trimpath -mod=readonly \
    -ldflags "-s -w ${3:-}" -o "$bin/$1.new" "$2"
  mv -f "$bin/$1.new" "$bin/$1"
}

build_kubernetes() {
  local flags='' package name version=${kubernetes_version#v}
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$kubernetes_version -X $package.gitMajor=${version%%.*}"
    flags+=" -X $package.gitMinor=$(cut -d. -f2 <<<"$version")"
  done
  go_build kubernetes . "$flags"
  for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubeadm kubectl etcd; do
    ln -sfn kubernetes "$bin/$name"
  done
}

build_kind() {
  go_build kind sigs.k8s.io/kind
  go_build pause ./pause
}

build_helm() {
  go_build helm helm.sh/helm/v4/cmd/helm "-X helm.sh/helm/v4/internal/version.version=$helm_version"
}

build_coredns() { go_build coredns github.com/coredns/coredns; }

build_echo() {
  go_build echo-server istio.io/istio/pkg/test/echo/cmd/server
  go_build echo-client istio.io/istio/pkg/test/echo/cmd/client
}

build_conformance() {
  go_build echo-basic sigs.k8s.io/gateway-api/conformance/echo-basic
  CGO_ENABLED=0 GOFLAGS=-buildvcs=false go test -c -vet=off -trimpath -mod=readonly \
    -ldflags '-s -w' -o "$bin/conformance.new" .
  mv -f "$bin/conformance.new" "$bin/conformance"
}

# The module's folder, where it has not the tool's own name.
declare -A folder=([kind]=cli [helm]=cli)

# What a tool is made of: its module's files, how it is built, the compiler.
recipe() {
  { go env GOVERSION GOARCH; echo "$kubernetes_version $helm_version"; declare -f go_build "build_$1"; find "${folder[$1]-$1}" -type f -print0 | sort -z | xargs -0 sha256sum; } \
    | sha256sum | cut -d' ' -f1
}

# The compiler that is there, if it is new enough for the modules. Else the very one they ask for, which is a module
# too and which Debian's, however old, can download.
use_go() {
  local wanted there folder
  wanted=$(sed -n 's/^go //p' kubernetes/go.mod)
  PATH=$PATH:/usr/local/go/bin
  there=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null || true)
  [[ $(printf '%s\n' "go$wanted" "$there" | sort -V | head -n 1) == "go$wanted" ]] && return
  command -v go >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq golang-go >/dev/null; }
  folder=$(cd "$(mktemp -d)" && GOTOOLCHAIN=local go mod download -json \
    "golang.org/toolchain@v0.0.1-go$wanted.linux-$(go env GOARCH)" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [[ $folder ]] || { echo "cannot download Go $wanted, which compiles the test tools; install it" >&2; exit 1; }
  # Modules are files, not programs.
  find "$folder/bin" "$folder/pkg/tool" -type f -exec chmod a+x {} +
  PATH=$folder/bin:$PATH
}

main() {
  use_go
  export PATH GOTOOLCHAIN=local
  (( $# )) || set -- kubernetes kind coredns helm echo conformance
  exec 9>"$bin/.lock"
  flock 9
  for tool in "$@"; do
    want=$(recipe "$tool")
    [[ $(cat "$bin/.$tool.recipe" 2>/dev/null) == "$want" ]] && continue
    started=$SECONDS
    (cd "${folder[$tool]-$tool}" && "build_$tool")
    echo "$want" >"$bin/.$tool.recipe"
    echo "built $tool in $(( SECONDS - started )) s"
  done
}
main "$@"
