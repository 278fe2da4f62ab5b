//! What the picture takes as given.

use std::sync::Arc;

/// What holds for the whole mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The cluster's id.
    pub cluster_id: Arc<str>,
    /// The cluster's network.
    pub network: Arc<str>,
    /// The trust domain of every identity.
    pub trust_domain: Arc<str>,
    /// What service names end in.
    pub domain: Arc<str>,
    /// Where policies for the whole mesh live.
    pub root_namespace: Arc<str>,
    /// The revision of this control plane; Gateways of others are left alone (WP-15).
    pub revision: Arc<str>,
    /// Which addresses the hosts of ServiceEntries have that have none of their own.
    pub auto_addresses: AddressSource,
}

/// Who says which addresses nobody wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AddressSource {
    /// They are drawn: for sources of objects to which nobody writes statuses back.
    #[default]
    Drawn,
    /// The objects' statuses, where the leader writes what it has drawn.
    Status,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            cluster_id: "Kubernetes".into(),
            network: "".into(),
            trust_domain: "cluster.local".into(),
            domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            revision: "default".into(),
            auto_addresses: AddressSource::default(),
        }
    }
}
