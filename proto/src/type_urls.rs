//! The type URLs that name resources on a discovery stream.

/// Workloads and services.
pub const ADDRESS: &str = "type.googleapis.com/istio.workload.Address";
/// L4 authorization policies.
pub const AUTHORIZATION: &str = "type.googleapis.com/istio.security.Authorization";
/// What a waypoint needs of one bound service beyond the workload API.
pub const SERVICE_CONFIG: &str = "type.googleapis.com/adit.waypoint.v1.ServiceConfig";
/// What holds for everything that goes through one waypoint.
pub const WAYPOINT_CONFIG: &str = "type.googleapis.com/adit.waypoint.v1.WaypointConfig";
/// The labels of a workload that subsets refer to, inside a workload's extensions.
pub const WORKLOAD_LABELS: &str = "type.googleapis.com/adit.waypoint.v1.WorkloadLabels";
/// The name of the extension that carries [`WORKLOAD_LABELS`].
pub const LABELS_EXTENSION: &str = "adit.io/labels";
