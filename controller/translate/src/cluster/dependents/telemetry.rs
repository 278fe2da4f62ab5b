//! What depends on what is said of traces, access logs and metrics.

use std::sync::Arc;

use super::Dependents;
use super::services::config_key;
use crate::cluster::{Facts, Name};
use crate::objects::Kind;
use crate::resources::trace_provider_hosts;

impl Dependents<'_> {
    pub(super) fn of_telemetry(&mut self, name: &Name) {
        self.add_status(Kind::Telemetry, name);
        let everywhere = name.namespace == self.cluster.settings.root_namespace;
        self.add_reports(|namespace| everywhere || *namespace == name.namespace);
    }

    /// Everything that is told, where the mesh's settings are others now.
    pub(super) fn add_all_reports(&mut self) {
        self.add_reports(|_| true);
        for (name, _) in self.cluster.telemetries.iter() {
            self.add_status(Kind::Telemetry, name);
        }
    }

    /// What is sent to somebody with that host name.
    pub(super) fn add_reports_to(&mut self, hostname: &str) {
        if trace_provider_hosts(self.cluster).any(|host| &*host == hostname) {
            self.add_all_reports();
        }
    }

    /// What is told by waypoints of these namespaces, and of services there.
    fn add_reports(&mut self, concerned: impl Fn(&Arc<str>) -> bool) {
        let cluster = self.cluster;
        for (gateway, _) in cluster.gateways.iter().filter(|(gateway, _)| concerned(&gateway.namespace)) {
            self.add(cluster.waypoint_key(gateway));
        }
        let is_concerned = |name: &Name, facts: &Facts| {
            let waypoint = || cluster.waypoint_asked_for(&name.namespace, facts);
            concerned(&name.namespace) || waypoint().is_some_and(|waypoint| concerned(&waypoint.namespace))
        };
        for (name, _) in cluster.services.iter().filter(|(name, it)| is_concerned(name, &it.facts)) {
            self.add(config_key(&name.namespace, &cluster.hostname(name)));
        }
        for (name, entry) in cluster.service_entries.iter().filter(|(name, it)| is_concerned(name, &it.facts))
        {
            for hostname in &entry.hosts {
                self.add(config_key(&name.namespace, hostname));
            }
        }
    }
}
