//! Certificates in ConfigMaps that BackendTLSPolicies name, and what is known of them: whoever reaches the API server
//! tells.

use std::collections::BTreeSet;
use std::sync::Arc;

use gateway_api::backendtlspolicies::BackendTlsPolicySpec;

use super::{Affected, Cluster, Name};
use crate::objects::Kind;

/// The certificates in a ConfigMap, or why there are none.
pub type Certificates = Result<Arc<str>, String>;

/// The ConfigMaps that a policy in `namespace` names.
pub fn config_maps_of(namespace: &str, spec: &BackendTlsPolicySpec) -> BTreeSet<Name> {
    let references = spec.validation.ca_certificate_refs.iter().flatten();
    let maps = references.filter(|it| matches!(it.group.as_str(), "" | "core") && it.kind == "ConfigMap");
    maps.map(|it| Name::new(namespace, it.name.as_str())).collect()
}

impl Cluster {
    /// The ConfigMaps whose certificates are needed.
    pub fn wanted_certificates(&self) -> BTreeSet<Name> {
        let policies = self.backend_tls_policies.iter();
        policies.flat_map(|(at, object)| config_maps_of(&at.namespace, &object.spec)).collect()
    }

    /// Notes what is known of the certificates in a ConfigMap; what that affects.
    pub fn set_certificates(&mut self, map: &Name, certificates: Certificates) -> Affected {
        let before = self.certificates.insert(map.clone(), certificates);
        if before.as_ref() == self.certificates.get(map) {
            return Affected::default();
        }
        let users = self.backend_tls_policies.in_namespace(&map.namespace);
        let users = users.filter(|(at, object)| config_maps_of(&at.namespace, &object.spec).contains(map));
        let users: Vec<Name> = users.map(|(at, _)| at.clone()).collect();
        let mut affected = Affected::default();
        for policy in users {
            affected.extend(self.dependents(&policy.key(Kind::BackendTlsPolicy)));
        }
        affected
    }

    /// Forgets what no policy names any more.
    pub(super) fn prune_certificates(&mut self) {
        let wanted = self.wanted_certificates();
        self.certificates.retain(|map, _| wanted.contains(map));
    }
}
