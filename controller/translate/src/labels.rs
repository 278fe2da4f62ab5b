//! The labels and annotations that mean something to the mesh (api.md §1 and §2).

/// Names the waypoint of an object, or of everything in a namespace.
pub(crate) const USE_WAYPOINT: &str = "istio.io/use-waypoint";
/// The namespace of the waypoint that `USE_WAYPOINT` names.
pub(crate) const USE_WAYPOINT_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
/// Names a second waypoint, which takes a share of the connections to a service.
pub(crate) const CANARY: &str = "istio.io/use-waypoint-canary";
/// The namespace of the waypoint that `CANARY` names.
pub(crate) const CANARY_NAMESPACE: &str = "istio.io/use-waypoint-canary-namespace";
/// What a waypoint is for: `service`, `workload`, `all` or `none`.
pub(crate) const WAYPOINT_FOR: &str = "istio.io/waypoint-for";
/// Ingress gateways go through the service's waypoint.
pub(crate) const INGRESS_USE_WAYPOINT: &str = "istio.io/ingress-use-waypoint";
/// `false`: the hosts of a ServiceEntry get no addresses that nobody wrote.
pub(crate) const AUTO_ADDRESS: &str = "networking.istio.io/enable-autoallocate-ip";
/// The control plane an object belongs to.
pub(crate) const REVISION: &str = "istio.io/rev";
/// `http`: a pod that terminates HBONE itself.
pub(crate) const TUNNEL: &str = "networking.istio.io/tunnel";
/// Whether a pod's traffic is captured: `ambient` or `none`.
pub(crate) const DATAPLANE_MODE: &str = "istio.io/dataplane-mode";
/// The network a pod is on.
pub(crate) const NETWORK: &str = "topology.istio.io/network";
/// A node's region.
pub(crate) const REGION: &str = "topology.kubernetes.io/region";
/// A node's zone.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";
/// A node's subzone.
pub(crate) const SUBZONE: &str = "topology.istio.io/subzone";
/// A pod's name in telemetry.
pub(crate) const CANONICAL_NAME: &str = "service.istio.io/canonical-name";
/// A pod's revision in telemetry.
pub(crate) const CANONICAL_REVISION: &str = "service.istio.io/canonical-revision";
/// The name of a WorkloadEntry's workload.
pub(crate) const WORKLOAD_NAME: &str = "service.istio.io/workload-name";
/// Kubernetes' name for the application.
pub(crate) const APP_NAME: &str = "app.kubernetes.io/name";
/// Kubernetes' name for its version.
pub(crate) const APP_VERSION: &str = "app.kubernetes.io/version";
/// The Gateway a generated object belongs to.
pub(crate) const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// The class of that Gateway.
pub(crate) const GATEWAY_CLASS_NAME: &str = "gateway.networking.k8s.io/gateway-class-name";
/// Who generated an object.
pub(crate) const MANAGED: &str = "gateway.istio.io/managed";
/// Value of `MANAGED` for what is generated for a waypoint.
pub(crate) const MANAGED_WAYPOINT: &str = "istio.io-mesh-controller";
/// Value of `MANAGED` for what is generated for a gateway between networks.
pub(crate) const MANAGED_EAST_WEST: &str = "istio.io-eastwest-controller";
/// Whether a sidecar is injected.
pub(crate) const SIDECAR_INJECT: &str = "sidecar.istio.io/inject";
/// Kubernetes' label with a namespace's own name.
pub(crate) const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Kubernetes' label that ties a pod to its ReplicaSet.
pub(crate) const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// The share of the waypoint that `CANARY` names, in per cent.
pub(crate) const CANARY_WEIGHT: &str = "istio.io/use-waypoint-canary-weight";
/// `enabled` once a pod's traffic is captured.
pub(crate) const REDIRECTION: &str = "ambient.istio.io/redirection";
/// How traffic is handed to a sandwiched waypoint: `PROTO` or `PROTO/port`.
pub(crate) const INBOUND_BINDING: &str = "ambient.istio.io/waypoint-inbound-binding";
/// Which endpoints of a service are preferred.
pub(crate) const TRAFFIC_DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";
/// The type of a generated Service.
pub(crate) const SERVICE_TYPE: &str = "networking.istio.io/service-type";
/// A service account to use instead of a generated one.
pub(crate) const SERVICE_ACCOUNT: &str = "gateway.istio.io/service-account";
/// The name of generated objects.
pub(crate) const NAME_OVERRIDE: &str = "gateway.istio.io/name-override";
/// The WorkloadGroup that a WorkloadEntry was made for.
pub(crate) const REGISTRATION_GROUP: &str = "istio.io/autoRegistrationGroup";
/// How a proxy chooses among the addresses of a name.
pub(crate) const CONNECT_STRATEGY: &str = "istio.io/connect-strategy";
/// A policy that is only evaluated and logged.
pub(crate) const DRY_RUN: &str = "istio.io/dry-run";
/// `true`: backends are told who the client is.
pub(crate) const FORWARD_CLIENT_IDENTITY: &str = "ambient.istio.io/xfcc-include-client-identity";
/// The service an EndpointSlice is of.
pub(crate) const SLICE_SERVICE: &str = "kubernetes.io/service-name";
/// Who looks after an EndpointSlice.
pub(crate) const SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
