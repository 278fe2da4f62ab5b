//! The shapes `istioctl ztunnel-config` reads (telemetry.md §8).

use std::sync::Arc;

use mesh_model::{
    Action, ApplicationTunnel, ApplicationTunnelProtocol, Clause, Identity, LoadBalancingMode, Match, Policy,
    PolicyKey, RoutingScope, Rule, Scope, ServiceAccountMatch, SmallMap, StringMatch,
};
use serde_json::{Value, json, to_value};

use super::*;
use crate::samples::{gateway, key, service, workload};

#[test]
fn ad_01_a_workload_with_little_to_say() {
    let mut plain = workload("web", "10.0.0.1");
    plain.node = "".into();
    assert_eq!(
        to_value(WorkloadDump::from(&plain)).unwrap(),
        json!({
            "uid": "Kubernetes//Pod/default/web", "workloadIps": ["10.0.0.1"], "protocol": "HBONE",
            "networkMode": "Standard", "name": "web", "namespace": "default", "trustDomain": "cluster.local",
            "serviceAccount": "web", "workloadName": "web", "workloadType": "pod", "canonicalName": "web",
            "canonicalRevision": "v1", "status": "Healthy", "clusterId": "Kubernetes", "capacity": 1,
        })
    );
}

#[test]
fn ad_01_a_workload_with_everything() {
    let mut full = workload("web", "10.0.0.1");
    full.waypoint = Some(gateway("10.0.0.9", 15008));
    full.application_tunnel =
        Some(ApplicationTunnel { protocol: ApplicationTunnelProtocol::Proxy, port: 15088 });
    full.authorization_policies.push(PolicyKey::new("default", "deny"));
    full.locality.region = "r1".into();
    full.services.insert(key("web"), SmallMap::new());
    full.native_tunnel = true;
    let dump = to_value(WorkloadDump::from(&full)).unwrap();
    assert_eq!(dump["waypoint"], json!({"destination": "/10.0.0.9", "hboneMtlsPort": 15008}));
    assert_eq!(dump["applicationTunnel"], json!({"protocol": "PROXY", "port": 15088}));
    assert_eq!(dump["authorizationPolicies"], json!(["default/deny"]));
    assert_eq!(dump["locality"], json!({"region": "r1"}));
    assert_eq!(dump["services"], json!(["default/web.default.svc.cluster.local"]));
    assert_eq!(dump["nativeTunnel"], json!(true));
}

#[test]
fn ad_01_a_service_with_its_endpoints() {
    let mut web = service("web", "10.96.0.1", 80, 8080);
    web.load_balancing.mode = LoadBalancingMode::Failover;
    web.load_balancing.preferences.push(RoutingScope::Node);
    let endpoint = Arc::new(workload("web-1", "10.0.0.1"));
    let ports = SmallMap::from([(80, 8081)]);
    let dump = ServiceDump::new(&web, std::iter::once((&endpoint, &ports)));
    assert_eq!(
        to_value(dump).unwrap(),
        json!({
            "name": "web", "namespace": "default", "hostname": "web.default.svc.cluster.local",
            "vips": ["/10.96.0.1"], "ports": {"80": 8080},
            "endpoints": {"Kubernetes//Pod/default/web-1": {
                "workloadUid": "Kubernetes//Pod/default/web-1", "port": {"80": 8081}, "status": "Healthy",
            }},
            "loadBalancer": {
                "routingPreferences": ["Node"], "mode": "Failover", "healthPolicy": "OnlyHealthy",
            },
            "visibility": "Public",
        })
    );
}

#[test]
fn ad_01_a_policy() {
    let found = Match {
        principals: vec![StringMatch::Exact("td/ns/a/sa/b".into()), StringMatch::Presence],
        not_namespaces: vec![StringMatch::Prefix("dev-".into()), StringMatch::Suffix("-x".into())],
        source_ips: vec!["10.0.0.0/8".parse().unwrap()],
        not_destination_ports: vec![9090],
        service_accounts: vec![ServiceAccountMatch { namespace: "a".into(), service_account: "b".into() }],
        ..Match::default()
    };
    let policy = Policy {
        key: PolicyKey::new("default", "deny"),
        scope: Scope::WorkloadSelector,
        action: Action::Deny,
        rules: vec![Rule { clauses: vec![Clause { matches: vec![found] }] }],
        dry_run: true,
    };
    assert_eq!(
        to_value(PolicyDump::from(&policy)).unwrap(),
        json!({
            "name": "deny", "namespace": "default", "scope": "WorkloadSelector", "action": "Deny",
            "dryRun": true,
            "rules": [[[{
                "principals": [{"Exact": "td/ns/a/sa/b"}, {"Presence": null}],
                "notNamespaces": [{"Prefix": "dev-"}, {"Suffix": "-x"}],
                "sourceIps": ["10.0.0.0/8"], "notDestinationPorts": [9090],
                "serviceAccounts": [{"namespace": "a", "serviceAccount": "b"}],
            }]]],
        })
    );
}

#[test]
fn id_13_a_certificate_that_is_not_there() {
    let identity = Identity::new("cluster.local", "default", "web");
    let dump = |state| to_value(CertificateDump::new(&identity, &state)).unwrap();
    let unavailable = dump(mesh_identity::State::Unavailable("the CA is away".to_owned()));
    assert_eq!(unavailable["state"], json!("Unavailable: the CA is away"));
    assert_eq!(unavailable["identity"], json!("spiffe://cluster.local/ns/default/sa/web"));
    assert_eq!((&unavailable["certChain"], &unavailable["rootCerts"]), (&json!([]), &json!([])));
    assert_eq!(dump(mesh_identity::State::Initializing)["state"], json!("Initializing"));
}

#[test]
fn ad_05_a_pod_s_state() {
    let info = PodInfo { name: "web-1".into(), namespace: "default".into(), service_account: "web".into() };
    let info = InfoDump { info: &info, trust_domain: "cluster.local" };
    let pod = PodDump { state: PodState::Pending, info, connections: None };
    let expected: Value = json!({
        "state": "Pending",
        "info": {
            "name": "web-1", "namespace": "default", "serviceAccount": "web", "trustDomain": "cluster.local",
        },
    });
    assert_eq!(to_value(pod).unwrap(), expected);
}
