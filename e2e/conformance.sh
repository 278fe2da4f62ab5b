#!/usr/bin/env bash
# Runs the Gateway API conformance suite on the cluster that KUBECONFIG names
# (call it through cluster/enter.sh for the test cluster). CRDs and the mesh
# have to be there. Flags go to the suite.
#
#   cluster/enter.sh ./conformance.sh -supported-features=Mesh,… -test.run 'TestConformance/MeshBasic$'
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Even without gateway features the suite waits for a pod in each of these.
namespaces=(gateway-conformance-app-backend gateway-conformance-web-backend)
image=$("$here/tools/gateway-api.sh" images | grep '/echo-basic:' | head -1)
trap 'kubectl delete namespace "${namespaces[@]}" --ignore-not-found --wait=false >/dev/null' EXIT
for namespace in "${namespaces[@]}"; do
  kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: Namespace
metadata: { name: $namespace }
---
apiVersion: v1
kind: Pod
metadata: { name: stand-in, namespace: $namespace }
spec: { terminationGracePeriodSeconds: 0, containers: [{ name: echo, image: "$image" }] }
END
done
kubectl wait --for=condition=Ready pod/stand-in -n "${namespaces[0]}" --timeout=60s >/dev/null
kubectl wait --for=condition=Ready pod/stand-in -n "${namespaces[1]}" --timeout=60s >/dev/null

conformance -test.v -conformance-profiles=MESH-HTTP,MESH-GRPC -allow-crds-mismatch "$@"
