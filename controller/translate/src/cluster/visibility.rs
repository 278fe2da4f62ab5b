//! Who can see a ServiceEntry (EG-05…08). Policies of the mesh go by its namespace, so that all of a namespace are
//! seen alike.

use super::selector::selects;
use super::{Cluster, ServiceObject};
use crate::objects::EntryVisibility;

impl Cluster {
    /// Who can see the ServiceEntries of a namespace.
    pub(crate) fn entry_visibility(&self, namespace: &str) -> EntryVisibility {
        let Some(configured) = &self.mesh.service_entry_visibility else { return EntryVisibility::Public };
        if configured.policies.is_empty() {
            return configured.default_visibility;
        }
        let labels = self.labels_of_namespace(namespace);
        let holds = |policy: &&crate::objects::VisibilityPolicy| {
            let mut selectors = policy.matching_rules.iter().map(|rule| rule.namespace_selector.as_ref());
            selectors.all(|selector| selector.is_some_and(|selector| selects(selector, &labels)))
        };
        let policy = configured.policies.iter().find(holds);
        policy.map_or(configured.default_visibility, |policy| policy.visibility)
    }

    /// Who can see an object that stands for services; those of Kubernetes are seen by everybody.
    pub(crate) fn visibility_of(&self, object: ServiceObject<'_>) -> EntryVisibility {
        match object {
            ServiceObject::Service(..) => EntryVisibility::Public,
            ServiceObject::Entry(name, _) => self.entry_visibility(&name.namespace),
        }
    }
}
