//! What depends on ResiliencePolicies. Which of several decides about a target is told by all of them.

use super::Dependents;
use crate::cluster::Name;
use crate::objects::Kind;
use crate::resources::resilience_target;

impl Dependents<'_> {
    pub(super) fn of_resilience_policy(&mut self, name: &Name) {
        self.add_status(Kind::ResiliencePolicy, name);
        let cluster = self.cluster;
        let Some(object) = cluster.resilience_policies.get(name) else { return };
        self.add_statuses_of_resilience_policies();
        for reference in &object.spec.target_refs {
            match resilience_target(cluster, name, reference) {
                Ok(key) if matches!(key.kind, Kind::Service | Kind::ServiceEntry) => self.add_configs(&key),
                Ok(route) => self.add_configs_of_route(&route),
                Err(_) => {}
            }
        }
    }

    pub(super) fn add_statuses_of_resilience_policies(&mut self) {
        let cluster = self.cluster;
        for (at, _) in cluster.resilience_policies.iter() {
            self.add_status(Kind::ResiliencePolicy, at);
        }
    }
}
