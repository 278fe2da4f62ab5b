//! Equal texts share memory: a mesh has many workloads and few namespaces,
//! nodes, accounts and services.

use std::collections::HashSet;
use std::sync::Arc;

use mesh_model::{
    BackendTarget, GatewayAddress, GatewayDestination, HttpRule, NamespacedHostname, Policy, RuleAction,
    Service, ServiceConfig, Workload,
};

/// Below this size nothing is worth sweeping.
const SMALL: usize = 1024;

/// The texts in use.
pub(crate) struct Interner {
    texts: HashSet<Arc<str>>,
    sweep_at: usize,
}

impl Interner {
    pub(crate) fn new() -> Self {
        Interner { texts: HashSet::new(), sweep_at: SMALL }
    }

    pub(crate) fn workload(&mut self, workload: &mut Workload) {
        for text in [
            &mut workload.namespace,
            &mut workload.network,
            &mut workload.trust_domain,
            &mut workload.service_account,
            &mut workload.node,
            &mut workload.canonical_name,
            &mut workload.canonical_revision,
            &mut workload.workload_name,
            &mut workload.cluster_id,
            &mut workload.locality.region,
            &mut workload.locality.zone,
            &mut workload.locality.subzone,
        ] {
            self.text(text);
        }
        for policy in &mut workload.authorization_policies {
            self.text(&mut policy.namespace);
            self.text(&mut policy.name);
        }
        for gateway in workload.waypoint.iter_mut().chain(&mut workload.network_gateway) {
            self.gateway(gateway);
        }
        let services = std::mem::take(&mut workload.services);
        workload.services = services
            .into_iter()
            .map(|(mut key, ports)| {
                self.hostname(&mut key);
                (key, ports)
            })
            .collect();
        let labels = std::mem::take(&mut workload.labels);
        workload.labels = labels
            .into_iter()
            .map(|(mut key, mut value)| {
                self.text(&mut key);
                self.text(&mut value);
                (key, value)
            })
            .collect();
        self.sweep();
    }

    pub(crate) fn service(&mut self, service: &mut Service) {
        self.text(&mut service.name);
        self.hostname(&mut service.key);
        for address in &mut service.addresses {
            self.text(&mut address.network);
        }
        for block in &mut service.cidrs {
            self.text(&mut block.network);
        }
        let weighted = service.weighted_waypoints.iter_mut().map(|waypoint| &mut waypoint.destination);
        for gateway in service.waypoint.iter_mut().chain(weighted) {
            self.gateway(gateway);
        }
        self.sweep();
    }

    pub(crate) fn policy(&mut self, policy: &mut Policy) {
        self.text(&mut policy.key.namespace);
        self.text(&mut policy.key.name);
        self.sweep();
    }

    pub(crate) fn service_config(&mut self, config: &mut ServiceConfig) {
        self.hostname(&mut config.key);
        for port in config.ports.values_mut() {
            port.http_rules.iter_mut().for_each(|rule| self.http_rule(rule));
        }
        self.sweep();
    }

    fn http_rule(&mut self, rule: &mut HttpRule) {
        // Mostly what holds where nothing is said.
        rule.retry.conditions.iter_mut().for_each(|condition| self.text(condition));
        let RuleAction::Forward(forward) = &mut rule.action else { return };
        let mirrors = rule.mirrors.iter_mut().map(|mirror| &mut mirror.backend);
        for backend in forward.backends.iter_mut().chain(mirrors) {
            if let BackendTarget::Service { service, subset, .. } = &mut backend.target {
                self.hostname(service);
                subset.iter_mut().for_each(|subset| self.text(subset));
            }
        }
    }

    fn gateway(&mut self, gateway: &mut GatewayAddress) {
        match &mut gateway.destination {
            GatewayDestination::Hostname(name) => self.hostname(name),
            GatewayDestination::Address(address) => self.text(&mut address.network),
        }
    }

    fn hostname(&mut self, name: &mut NamespacedHostname) {
        self.text(&mut name.namespace);
        self.text(&mut name.hostname);
    }

    fn text(&mut self, text: &mut Arc<str>) {
        match self.texts.get(text) {
            Some(known) => *text = known.clone(),
            None => {
                self.texts.insert(text.clone());
            }
        }
    }

    /// Forgets what nobody uses, each time the set has doubled.
    fn sweep(&mut self) {
        if self.texts.len() > self.sweep_at {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.sweep_at = SMALL.max(self.texts.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::workload;

    #[test]
    fn equal_texts_share_memory_and_unused_ones_are_forgotten() {
        let mut interner = Interner::new();
        let (mut one, mut two) = (workload("one"), workload("two"));
        interner.workload(&mut one);
        interner.workload(&mut two);
        assert!(Arc::ptr_eq(&one.namespace, &two.namespace));
        assert!(Arc::ptr_eq(&one.namespace, interner.texts.get("prod").unwrap()));
        for number in 0..10_000 {
            interner.text(&mut Arc::from(number.to_string()));
            interner.sweep();
        }
        assert!(interner.texts.len() <= SMALL + 1, "{} texts", interner.texts.len());
        assert!(interner.texts.contains("prod"), "still in use");
    }
}
