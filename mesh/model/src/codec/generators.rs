//! Random values of the model, for round trips.

mod rate_limit;
mod resilience;
pub(super) mod route;
pub(super) mod security;
mod stream;
mod telemetry;
mod traffic;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::{
    Action, AppProtocol, ApplicationTunnel, ApplicationTunnelProtocol, Clause, GatewayAddress,
    GatewayDestination, Health, HealthPolicy, Identity, IpFamilies, LoadBalancing, LoadBalancingMode,
    Locality, Match, NamespacedHostname, NetworkAddress, NetworkCidr, NetworkMode, Policy, PolicyKey,
    RoutingScope, Rule, Scope, Service, ServiceAccountMatch, ServicePort, SmallMap, StringMatch,
    TunnelProtocol, Uid, Visibility, WeightedWaypoint, Workload, WorkloadKind,
};

pub(super) fn text() -> impl Strategy<Value = Arc<str>> {
    "[a-z0-9.-]{0,6}".prop_map(Arc::from)
}

pub(super) fn name() -> impl Strategy<Value = Arc<str>> {
    "[a-z][a-z0-9.-]{0,6}".prop_map(Arc::from)
}

fn duration() -> impl Strategy<Value = Duration> {
    (1..1_000_000u64).prop_map(Duration::from_micros)
}

/// A map of few entries.
pub(super) fn small_map<K: Strategy<Value: Ord>, V: Strategy>(
    key: K,
    value: V,
) -> impl Strategy<Value = SmallMap<K::Value, V::Value>> {
    btree_map(key, value, 0..3).prop_map(|entries| entries.into_iter().collect())
}

pub(super) fn labels() -> impl Strategy<Value = SmallMap<Arc<str>, Arc<str>>> {
    small_map(name(), text())
}

pub(super) fn host() -> impl Strategy<Value = NamespacedHostname> {
    (text(), name()).prop_map(|(namespace, hostname)| NamespacedHostname { namespace, hostname })
}

fn network_address() -> impl Strategy<Value = NetworkAddress> {
    (text(), any::<IpAddr>()).prop_map(|(network, ip)| NetworkAddress { network, ip })
}

fn block() -> impl Strategy<Value = IpNet> {
    (any::<IpAddr>(), 0..=32u8).prop_map(|(ip, length)| IpNet::new(ip, length).unwrap().trunc())
}

fn gateway() -> impl Strategy<Value = GatewayAddress> {
    let destination = prop_oneof![
        host().prop_map(GatewayDestination::Hostname),
        network_address().prop_map(GatewayDestination::Address),
    ];
    (destination, any::<u16>())
        .prop_map(|(destination, hbone_mtls_port)| GatewayAddress { destination, hbone_mtls_port })
}

fn policy_key() -> impl Strategy<Value = PolicyKey> {
    (text(), name()).prop_map(|(namespace, name)| PolicyKey { namespace, name })
}

pub(super) fn workload() -> impl Strategy<Value = Workload> {
    let texts = (name(), text(), text(), text(), text(), text(), text(), text(), text());
    let identity = (name(), name(), name());
    let tunnel = (
        select(vec![TunnelProtocol::Tcp, TunnelProtocol::Hbone]),
        any::<bool>(),
        option::of(gateway()),
        option::of(gateway()),
        option::of((
            select(vec![ApplicationTunnelProtocol::None, ApplicationTunnelProtocol::Proxy]),
            any::<u16>(),
        )),
    );
    let enums = (
        select(vec![WorkloadKind::Deployment, WorkloadKind::CronJob, WorkloadKind::Pod, WorkloadKind::Job]),
        select(vec![Health::Healthy, Health::Unhealthy]),
        select(vec![NetworkMode::Standard, NetworkMode::HostNetwork]),
    );
    let lists = (
        vec(any::<IpAddr>(), 0..3),
        vec(policy_key(), 0..3),
        small_map(host(), small_map(any::<u16>(), any::<u16>())),
        labels(),
        (text(), text(), text()),
        any::<u32>(),
    );
    (texts, identity, tunnel, enums, lists).prop_map(|(texts, identity, tunnel, enums, lists)| Workload {
        uid: Uid(texts.0),
        name: texts.1,
        namespace: texts.2,
        network: texts.3,
        node: texts.4,
        canonical_name: texts.5,
        canonical_revision: texts.6,
        workload_name: texts.7,
        hostname: texts.8,
        trust_domain: identity.0,
        service_account: identity.1,
        cluster_id: identity.2,
        tunnel: tunnel.0,
        native_tunnel: tunnel.1,
        waypoint: tunnel.2,
        network_gateway: tunnel.3,
        application_tunnel: tunnel.4.map(|(protocol, port)| ApplicationTunnel { protocol, port }),
        kind: enums.0,
        health: enums.1,
        network_mode: enums.2,
        addresses: lists.0,
        authorization_policies: lists.1,
        services: lists.2,
        labels: lists.3,
        locality: Locality { region: lists.4.0, zone: lists.4.1, subzone: lists.4.2 },
        capacity: lists.5,
    })
}

fn load_balancing() -> impl Strategy<Value = LoadBalancing> {
    use RoutingScope::{Cluster, Network, Node, Region, Subzone, Zone};
    (
        vec(select(vec![Region, Zone, Subzone, Node, Cluster, Network]), 0..4),
        select(vec![
            LoadBalancingMode::Standard,
            LoadBalancingMode::Strict,
            LoadBalancingMode::Failover,
            LoadBalancingMode::Passthrough,
        ]),
        select(vec![HealthPolicy::OnlyHealthy, HealthPolicy::AllowAll]),
    )
        .prop_map(|(preferences, mode, health_policy)| LoadBalancing {
            preferences,
            mode,
            health_policy,
        })
}

fn service_port() -> impl Strategy<Value = ServicePort> {
    use AppProtocol::{Grpc, Http2, Http11, Tcp, Tls, Unknown};
    (any::<u16>(), any::<u16>(), select(vec![Unknown, Http11, Http2, Grpc, Tcp, Tls])).prop_map(
        |(service_port, target_port, app_protocol)| ServicePort { service_port, target_port, app_protocol },
    )
}

pub(super) fn service() -> impl Strategy<Value = Service> {
    let blocks = (text(), block()).prop_map(|(network, cidr)| NetworkCidr { network, cidr });
    let weighted =
        (gateway(), any::<u32>()).prop_map(|(destination, weight)| WeightedWaypoint { destination, weight });
    let identity = (name(), text(), text())
        .prop_map(|(domain, namespace, account)| Identity::new(domain, namespace, account));
    (
        (text(), host(), any::<bool>(), any::<bool>()),
        (vec(network_address(), 0..3), vec(blocks, 0..3), vec(service_port(), 0..3), vec(identity, 0..3)),
        (option::of(gateway()), vec(weighted, 0..3), load_balancing()),
        select(vec![IpFamilies::Automatic, IpFamilies::Ipv4, IpFamilies::Ipv6, IpFamilies::Dual]),
        select(vec![Visibility::Public, Visibility::Namespace]),
    )
        .prop_map(|(names, lists, routing, ip_families, visibility)| Service {
            name: names.0,
            key: names.1,
            canonical: names.2,
            ingress_use_waypoint: names.3,
            addresses: lists.0,
            cidrs: lists.1,
            ports: lists.2,
            subject_alt_names: lists.3,
            waypoint: routing.0,
            weighted_waypoints: routing.1,
            load_balancing: routing.2,
            ip_families,
            visibility,
        })
}

fn string_match() -> impl Strategy<Value = StringMatch> {
    prop_oneof![
        text().prop_map(StringMatch::Exact),
        text().prop_map(StringMatch::Prefix),
        text().prop_map(StringMatch::Suffix),
        Just(StringMatch::Presence),
    ]
}

fn wanted() -> impl Strategy<Value = Match> {
    let strings = || vec(string_match(), 0..3);
    let accounts = || {
        let account = (text(), name())
            .prop_map(|(namespace, service_account)| ServiceAccountMatch { namespace, service_account });
        vec(account, 0..3)
    };
    let blocks = || vec(block(), 0..3);
    let ports = || vec(any::<u16>(), 0..3);
    (
        (strings(), strings(), strings(), strings()),
        (accounts(), accounts()),
        (blocks(), blocks(), blocks(), blocks()),
        (ports(), ports()),
    )
        .prop_map(|(strings, accounts, blocks, ports)| Match {
            namespaces: strings.0,
            not_namespaces: strings.1,
            principals: strings.2,
            not_principals: strings.3,
            service_accounts: accounts.0,
            not_service_accounts: accounts.1,
            source_ips: blocks.0,
            not_source_ips: blocks.1,
            destination_ips: blocks.2,
            not_destination_ips: blocks.3,
            destination_ports: ports.0,
            not_destination_ports: ports.1,
        })
}

pub(super) fn policy() -> impl Strategy<Value = Policy> {
    let clause = vec(wanted(), 0..3).prop_map(|matches| Clause { matches });
    let rule = vec(clause, 0..3).prop_map(|clauses| Rule { clauses });
    (
        policy_key(),
        select(vec![Scope::Global, Scope::Namespace, Scope::WorkloadSelector]),
        select(vec![Action::Allow, Action::Deny]),
        vec(rule, 0..3),
        any::<bool>(),
    )
        .prop_map(|(key, scope, action, rules, dry_run)| Policy { key, scope, action, rules, dry_run })
}
