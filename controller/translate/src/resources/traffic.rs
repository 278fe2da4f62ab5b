//! What the DestinationRules of a service ask of the traffic to it and to its subsets, by port (api.md §3.4).
//!
//! A policy has parts, and each is taken whole: a subset's instead of the rule's. What `portLevelSettings` say of a
//! port replaces the parts that ports can have, also those they leave out. Of several rules for a host, the oldest
//! with a policy decides. TLS that a BackendTLSPolicy asks for goes before all of that.

mod connection_pool;
mod load_balancer;
mod outlier_detection;
mod problems;
mod tls;

use std::collections::BTreeMap;

use mesh_model::{PortTraffic, ProxyProtocolVersion, RetryBudget, TrafficPolicy, UpstreamTls};

use super::service_config::same_everywhere;
use crate::cluster::{DestinationRule, Name, ServicePort};
use crate::objects::{
    self, ClientTlsSettings, ConnectionPoolSettings, LoadBalancerSettings, OutlierDetection,
};

pub(crate) use problems::find_problems;

/// What is asked of the traffic to a service.
pub(super) struct Traffic<'a> {
    ports: &'a [ServicePort],
    asked: Option<&'a objects::TrafficPolicy>,
    /// What BackendTLSPolicies ask for, which goes before all else.
    tls: BTreeMap<u16, UpstreamTls>,
}

impl<'a> Traffic<'a> {
    /// What these rules ask, which are all that hold for a service with these ports, oldest first; and the TLS that
    /// is asked for by port.
    pub(super) fn new(
        ports: &'a [ServicePort],
        rules: &[(&Name, &'a DestinationRule)],
        tls: BTreeMap<u16, UpstreamTls>,
    ) -> Self {
        let asked = rules.iter().find_map(|(_, rule)| rule.spec.traffic_policy.as_ref());
        Traffic { ports, asked, tls }
    }

    /// What holds for the service.
    pub(super) fn of_service(&self) -> PortTraffic {
        let default = TrafficPolicy::default();
        self.where_different(None, |_| default.clone())
    }

    /// What holds for a subset with that policy, where it is not what holds for the service.
    pub(super) fn of_subset(&self, policy: Option<&objects::TrafficPolicy>) -> PortTraffic {
        self.where_different(policy, |port| self.at(port, None))
    }

    fn where_different(
        &self,
        subset: Option<&objects::TrafficPolicy>,
        otherwise: impl Fn(u16) -> TrafficPolicy,
    ) -> PortTraffic {
        let policies = self.ports.iter().map(|port| (port.number, self.at(port.number, subset)));
        let different: BTreeMap<_, _> =
            policies.filter(|(port, policy)| *policy != otherwise(*port)).collect();
        same_everywhere(different, self.ports.len())
    }

    fn at(&self, port: u16, subset: Option<&objects::TrafficPolicy>) -> TrafficPolicy {
        let policies = self.asked.into_iter().chain(subset);
        let parts = policies.fold(Parts::default(), |parts, policy| parts.under(policy, port));
        let policy = parts.translate();
        TrafficPolicy { tls: self.tls.get(&port).cloned().or(policy.tls), ..policy }
    }
}

/// What is asked on a port.
#[derive(Clone, Copy, Default)]
struct Parts<'a> {
    load_balancer: Option<&'a LoadBalancerSettings>,
    connection_pool: Option<&'a ConnectionPoolSettings>,
    outlier_detection: Option<&'a OutlierDetection>,
    tls: Option<&'a ClientTlsSettings>,
    proxy_protocol: Option<objects::ProxyProtocol>,
    retry_budget: Option<objects::RetryBudget>,
}

impl<'a> Parts<'a> {
    /// With what a closer policy says instead.
    fn under(self, policy: &'a objects::TrafficPolicy, port: u16) -> Self {
        let parts = Parts {
            load_balancer: policy.load_balancer.as_ref().or(self.load_balancer),
            connection_pool: policy.connection_pool.as_ref().or(self.connection_pool),
            outlier_detection: policy.outlier_detection.as_ref().or(self.outlier_detection),
            tls: policy.tls.as_ref().or(self.tls),
            proxy_protocol: policy.proxy_protocol.or(self.proxy_protocol),
            retry_budget: policy.retry_budget.or(self.retry_budget),
        };
        let mut of_ports = policy.port_level_settings.iter();
        let own = of_ports.find(|it| it.port.as_ref().is_some_and(|selector| selector.number.0 == port));
        match own {
            None => parts,
            Some(own) => Parts {
                load_balancer: own.load_balancer.as_ref(),
                connection_pool: own.connection_pool.as_ref(),
                outlier_detection: own.outlier_detection.as_ref(),
                tls: own.tls.as_ref(),
                ..parts
            },
        }
    }

    fn translate(self) -> TrafficPolicy {
        let (balancer, pool) = (LoadBalancerSettings::default(), self.connection_pool);
        let balancer = self.load_balancer.unwrap_or(&balancer);
        TrafficPolicy {
            load_balancer: load_balancer::translate(balancer, self.outlier_detection.is_some()),
            tcp: pool.and_then(|it| it.tcp.as_ref()).map(connection_pool::tcp).unwrap_or_default(),
            http: pool.map(connection_pool::http).unwrap_or_default(),
            outlier_detection: self.outlier_detection.map(outlier_detection::translate),
            tls: self.tls.and_then(tls::translate),
            proxy_protocol: self.proxy_protocol.map(|it| match it.version {
                objects::ProxyProtocolVersion::V1 => ProxyProtocolVersion::V1,
                objects::ProxyProtocolVersion::V2 => ProxyProtocolVersion::V2,
            }),
            http_version: pool.map(connection_pool::version).unwrap_or_default(),
            retry_budget: self.retry_budget.map(|it| RetryBudget {
                percent: it.percent.unwrap_or(20.0),
                min_concurrency: it.min_retry_concurrency.unwrap_or(3),
            }),
        }
    }
}
