//! The services that extension providers of the mesh stand for.

use std::sync::Arc;

use mesh_model::NamespacedHostname;

use crate::cluster::{Cluster, MeshService};

/// The namespace and the host name that a provider's service has; none where it is not said in which one.
pub(crate) fn provider_host(cluster: &Cluster, service: &str) -> (Option<Arc<str>>, Arc<str>) {
    let (namespace, host) = match service.split_once('/') {
        Some((namespace, host)) => (Some(Arc::from(namespace)), host),
        None => (None, service),
    };
    let from = namespace.as_ref().unwrap_or(&cluster.settings.root_namespace);
    let hostname = cluster.settings.hostname_meant(from, host);
    (namespace, hostname)
}

/// The service and the port of a provider; or why there is none.
pub(super) fn find(
    cluster: &Cluster,
    provider: &str,
    service: &str,
    port: u32,
) -> Result<(NamespacedHostname, u16), String> {
    let found = find_service(cluster, service).ok_or_else(|| {
        format!("extension provider {provider:?} names service {service:?}, which does not exist")
    })?;
    let known = u16::try_from(port).ok().filter(|port| found.object.has_port(*port));
    let port = known.ok_or_else(|| {
        format!("extension provider {provider:?} names port {port} of {}, which has none", found.key)
    })?;
    Ok((found.key, port))
}

/// Why no provider of that name does what is wanted.
pub(super) fn unknown(cluster: &Cluster, name: &str) -> String {
    let map = cluster.settings.mesh_config_map();
    let root = &cluster.settings.root_namespace;
    format!("ConfigMap {root}/{map} has no extension provider {name:?}")
}

fn find_service<'a>(cluster: &'a Cluster, service: &str) -> Option<MeshService<'a>> {
    let (namespace, hostname) = provider_host(cluster, service);
    match namespace {
        Some(namespace) => cluster.find_service(&NamespacedHostname::new(namespace, hostname)),
        None => cluster.resolve_hostname(&cluster.settings.root_namespace, &hostname),
    }
}
