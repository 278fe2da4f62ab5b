#!/usr/bin/env bash
# Runs a command where the cluster can be reached: in its network namespace,
# with KUBECONFIG, DOCKER_HOST and the built tools in PATH. Without a command
# it opens a shell.
#
#   enter.sh kubectl get pods -A
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

(( $# )) || set -- bash
within_exec "$@"
