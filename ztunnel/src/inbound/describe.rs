//! What is asked for, where resources come on demand, so that a connection to the pod can be
//! judged and described: who it is from, what leads here.

use mesh_model::Workload;
use mesh_state::ResourceName;
use tracing::debug;

use crate::discovery::Need;
use crate::proxy::Pod;

/// Waits a while for these names and the pod's services. Without answers the connection
/// is described less well, and what cannot be checked without them is refused.
pub(super) async fn describe(pod: &Pod, local: &Workload, names: Vec<ResourceName>) {
    let Some(discovery) = &pod.mesh.discovery else { return };
    let services = local.services.keys().cloned().map(ResourceName::Host);
    let names: Vec<_> = names.into_iter().chain(services).collect();
    if let Err(error) = Box::pin(discovery.settle(|_| names.clone(), Need::Description)).await {
        debug!(%error, "a connection is carried with less known of it");
    }
}
