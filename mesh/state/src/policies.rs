//! Policies by name, and those that apply without being named.

use std::sync::Arc;

use mesh_model::{Policy, PolicyKey, Scope, Workload};
use tracing::warn;

use crate::multimap::{Map, MultiMap, put, take, values};

/// The index.
#[derive(Clone, Default)]
pub(crate) struct Policies {
    by_key: Map<PolicyKey, Arc<Policy>>,
    /// The key is the namespace; none for those of the whole mesh.
    by_scope: MultiMap<Option<Arc<str>>, Policy>,
}

impl Policies {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.by_key.values()
    }

    pub(crate) fn find(&self, key: &PolicyKey) -> Option<&Arc<Policy>> {
        self.by_key.get(key)
    }

    /// Those of the mesh, of the workload's namespace and those it names.
    pub(crate) fn of<'p>(&'p self, workload: &'p Workload) -> impl Iterator<Item = &'p Policy> {
        let mesh = values(&self.by_scope, &None).iter();
        let namespace = values(&self.by_scope, &Some(workload.namespace.clone())).iter();
        let named = workload.authorization_policies.iter().filter_map(|key| {
            let policy = self.by_key.get(key);
            if policy.is_none() {
                // It may still be on its way; traffic does not wait for it (L4-18).
                warn!(policy = %key, workload = %workload.uid, "policy is not known, skipped");
            }
            policy
        });
        mesh.chain(namespace).chain(named).map(|policy| &**policy)
    }

    /// Replaces what is known under a name; returns what was.
    pub(crate) fn update(&mut self, key: &PolicyKey, new: Option<&Arc<Policy>>) -> Option<Arc<Policy>> {
        let old = self.by_key.get(key).cloned();
        if let Some(scope) = old.as_deref().and_then(scope)
            && new.and_then(|new| self::scope(new)).as_ref() != Some(&scope)
        {
            take(&mut self.by_scope, &scope, |known| known.key == *key);
        }
        match new {
            None => {
                self.by_key.remove_mut(key);
            }
            Some(new) => {
                if let Some(scope) = scope(new) {
                    put(&mut self.by_scope, scope, new, |known| known.key == *key);
                }
                self.by_key.insert_mut(key.clone(), new.clone());
            }
        }
        old
    }
}

/// Where a policy applies without being named.
fn scope(policy: &Policy) -> Option<Option<Arc<str>>> {
    match policy.scope {
        Scope::Global => Some(None),
        Scope::Namespace => Some(Some(policy.key.namespace.clone())),
        Scope::WorkloadSelector => None,
    }
}

#[cfg(test)]
impl Policies {
    /// How many entries each part of the index has.
    pub(crate) fn sizes(&self) -> [usize; 2] {
        [self.by_key.size(), self.by_scope.size()]
    }
}

#[cfg(test)]
mod tests;
