//! What depends on policies over requests and on the rules for tokens, by what they target; and which of them depend
//! on what is targeted.

use super::Dependents;
use super::services::config_key;
use crate::cluster::{Name, includes};
use crate::objects::{Kind, TargetRef};
use crate::resources::{Target, backend_tls_target, target};

impl Dependents<'_> {
    pub(super) fn of_authorization_policy(&mut self, name: &Name) {
        self.add_status(Kind::AuthorizationPolicy, name);
        self.add(self.cluster.policy_key(name));
        let Some(object) = self.cluster.authorization_policies.get(name) else { return };
        self.add_targets(name, object.spec.targets());
        let Some(selector) = object.spec.selector.clone() else { return };
        self.add_workloads_under(&name.namespace, |labels| includes(labels, &selector.match_labels));
    }

    pub(super) fn of_request_authentication(&mut self, name: &Name) {
        self.add_status(Kind::RequestAuthentication, name);
        let Some(object) = self.cluster.request_authentications.get(name) else { return };
        self.add_targets(name, object.spec.targets());
    }

    /// The services it is about, and the policies that are about the same: which of them counts depends on all.
    pub(super) fn of_backend_tls_policy(&mut self, name: &Name) {
        self.add_status(Kind::BackendTlsPolicy, name);
        let cluster = self.cluster;
        let Some(object) = cluster.backend_tls_policies.get(name) else { return };
        for target in object.spec.target_refs.iter().filter_map(|it| backend_tls_target(name, it)) {
            for hostname in cluster.hostnames_of(&target) {
                self.add(config_key(&target.namespace, &hostname));
            }
            self.add_statuses_of_policies(&target.namespace, &target.name);
        }
    }

    /// The configs that what targets them is part of.
    fn add_targets<'t>(&mut self, policy: &Name, targets: impl Iterator<Item = (String, &'t TargetRef)>) {
        let cluster = self.cluster;
        for (_, reference) in targets {
            match target(cluster, policy, reference) {
                Ok(Target::Object(key)) => {
                    for hostname in cluster.hostnames_of(&key) {
                        self.add(config_key(&key.namespace, &hostname));
                    }
                }
                Ok(Target::Gateway(gateway)) => self.add(cluster.waypoint_key(&gateway)),
                Ok(Target::Class(class)) => {
                    let gateways = cluster.gateways.iter();
                    for (gateway, _) in gateways.filter(|(_, it)| it.spec.gateway_class_name == class) {
                        self.add(cluster.waypoint_key(gateway));
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// What is attached to a service or Gateway of this name.
    pub(super) fn add_policies_for(&mut self, name: &Name) {
        self.add_statuses_of_policies(&name.namespace, &name.name);
    }

    /// What is attached to a class of this name.
    pub(super) fn add_policies_for_class(&mut self, class: &Name) {
        let root = self.cluster.settings.root_namespace.clone();
        self.add_statuses_of_policies(&root, &class.name);
    }

    fn add_statuses_of_policies(&mut self, namespace: &str, target: &str) {
        let cluster = self.cluster;
        for (at, policy) in cluster.authorization_policies.in_namespace(namespace) {
            if policy.spec.targets().any(|(_, it)| it.name == target) {
                self.add_status(Kind::AuthorizationPolicy, at);
            }
        }
        for (at, object) in cluster.request_authentications.in_namespace(namespace) {
            if object.spec.targets().any(|(_, it)| it.name == target) {
                self.add_status(Kind::RequestAuthentication, at);
            }
        }
        for (at, object) in cluster.backend_tls_policies.in_namespace(namespace) {
            if object.spec.target_refs.iter().any(|it| it.name == target) {
                self.add_status(Kind::BackendTlsPolicy, at);
            }
        }
        for (at, object) in cluster.telemetries.in_namespace(namespace) {
            if object.spec.targets().any(|(_, it)| it.name == target) {
                self.add_status(Kind::Telemetry, at);
            }
        }
    }
}
