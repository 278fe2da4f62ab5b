//! What depends on RateLimitPolicies, and which of them depend on what: there are few, so their statuses are told anew
//! whenever something is about to be that they may name.

use std::collections::BTreeSet;

use super::Dependents;
use super::services::config_key;
use crate::cluster::Name;
use crate::objects::{Kind, ObjectKey};
use crate::resources::{LimitTarget, counting_hosts, parent_service, rate_limit_target};

impl Dependents<'_> {
    pub(super) fn of_rate_limit_policy(&mut self, name: &Name) {
        self.add_status(Kind::RateLimitPolicy, name);
        let cluster = self.cluster;
        let Some(object) = cluster.rate_limit_policies.get(name) else { return };
        for reference in &object.spec.target_refs {
            match rate_limit_target(cluster, name, reference) {
                Ok(LimitTarget::Object(key)) => self.add_configs(&key),
                Ok(LimitTarget::Route(route)) => self.add_configs_of_route(&route),
                Ok(LimitTarget::Gateway(gateway)) => self.add(cluster.waypoint_key(&gateway)),
                Ok(LimitTarget::Class(class)) => {
                    let gateways = cluster.gateways.iter();
                    for (gateway, _) in gateways.filter(|(_, it)| it.spec.gateway_class_name == class) {
                        self.add(cluster.waypoint_key(gateway));
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// The policies whose limits somebody with that host name counts.
    pub(super) fn add_limiters(&mut self, hostname: &str) {
        let cluster = self.cluster;
        for (at, object) in cluster.rate_limit_policies.iter() {
            if counting_hosts(cluster, at, &object.spec).iter().any(|host| **host == *hostname) {
                self.of_rate_limit_policy(at);
            }
        }
    }

    /// The policies whose limits somebody counts.
    pub(super) fn add_all_limiters(&mut self) {
        let cluster = self.cluster;
        let policies = cluster.rate_limit_policies.iter();
        for (at, _) in policies.filter(|(_, it)| it.spec.limits.iter().any(|limit| limit.global.is_some())) {
            self.of_rate_limit_policy(at);
        }
    }

    /// Of the policies of our own kinds, of which there are few.
    pub(super) fn add_statuses_of_own_kinds(&mut self) {
        let cluster = self.cluster;
        for (at, _) in cluster.rate_limit_policies.iter() {
            self.add_status(Kind::RateLimitPolicy, at);
        }
        self.add_statuses_of_resilience_policies();
    }

    pub(super) fn add_configs(&mut self, key: &ObjectKey) {
        for hostname in self.cluster.hostnames_of(key) {
            self.add(config_key(&key.namespace, &hostname));
        }
    }

    pub(super) fn add_configs_of_route(&mut self, key: &ObjectKey) {
        let cluster = self.cluster;
        let name = Name { namespace: key.namespace.clone(), name: key.name.clone() };
        if key.kind != Kind::VirtualService {
            let parents =
                cluster.find_route(key.kind, &name).and_then(|route| route.spec.parent_refs.as_ref());
            for service in parents.into_iter().flatten().filter_map(|it| parent_service(&name, it)) {
                self.add_configs(&service);
            }
            return;
        }
        let own = cluster.virtual_services.get(&name);
        let all = own.into_iter().chain(cluster.delegators(&name).map(|(_, it)| it));
        let hosts: BTreeSet<_> =
            all.flat_map(|it| &it.hosts).flat_map(|host| host.hostnames(cluster)).collect();
        for hostname in hosts {
            for object in cluster.objects_of_hostname(&hostname) {
                self.add(config_key(&object.namespace, &hostname));
            }
        }
    }
}
