//! What handlers take from a stream and what they give back.

use mesh_model::codec::{address as address_codec, authorization, service_config, waypoint_config};
use mesh_model::{
    Policy, PolicyAction, PolicyKey, RequestPolicy, Scope, Security, Service, ServiceConfig, WaypointConfig,
    WaypointKey, Workload,
};
use mesh_xds::{Handler, RawResource};
use prost::Message;

use crate::samples::{address, endpoint, key, pod, policy, service, workload};

fn raw(name: impl ToString, bytes: Vec<u8>) -> RawResource {
    RawResource { name: name.to_string(), version: String::new(), bytes }
}

fn raw_workload(workload: &Workload) -> RawResource {
    raw(&workload.uid, address_codec::encode_workload(workload).encode_to_vec())
}

fn raw_service(service: &Service) -> RawResource {
    raw(&service.key, address_codec::encode_service(service).encode_to_vec())
}

fn raw_policy(policy: &Policy) -> RawResource {
    raw(&policy.key, authorization::encode(policy).encode_to_vec())
}

#[test]
fn sec_08_what_is_bad_is_returned_and_the_rest_applies() {
    let (writer, reader) = crate::new();
    let mut handler = writer.address_handler();
    assert!(handler.apply(vec![raw_workload(&pod("kept", "10.0.0.1"))], vec![]).is_empty());
    let nameless = Service { key: mesh_model::NamespacedHostname::new("prod", ""), ..service("web", &[]) };
    let rejected = handler.apply(
        vec![
            raw("Kubernetes//Pod/prod/kept", b"\xff garbage".to_vec()),
            raw_workload(&pod("good", "10.0.0.2")),
            raw_service(&nameless),
            raw("somebody else", raw_workload(&pod("liar", "10.0.0.3")).bytes),
        ],
        vec![],
    );
    let told: Vec<(&str, &str)> =
        rejected.iter().map(|rejected| (rejected.name.as_str(), rejected.reason.as_str())).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].1.starts_with("not a message of this type: "), "{told:?}");
    assert_eq!(told[1], ("prod/", "service.hostname: empty"));
    assert_eq!(told[2], ("somebody else", "it describes Kubernetes//Pod/prod/liar"));
    let snapshot = reader.snapshot();
    assert!(snapshot.find_workload(&address("10.0.0.1")).is_some(), "what was known stays");
    assert!(snapshot.find_workload(&address("10.0.0.2")).is_some());
    assert_eq!(snapshot.find_workload(&address("10.0.0.3")), None);
}

#[test]
fn up_12_names_that_are_gone_are_removed_before_what_is_new_applies() {
    let (writer, reader) = crate::new();
    let mut handler = writer.address_handler();
    let (web, one) = (service("web", &["10.96.0.1"]), endpoint("one", "10.0.0.1", "web"));
    handler.apply(vec![raw_service(&web), raw_workload(&one), raw_workload(&pod("two", "10.0.0.2"))], vec![]);
    handler
        .apply(vec![raw_workload(&one)], vec![one.uid.to_string(), "never/seen".to_owned(), String::new()]);
    assert_eq!(reader.snapshot().endpoints(&key("web")).count(), 1, "removed and sent: it is there");
    handler.apply(vec![], vec![workload("two").uid.to_string(), web.key.to_string()]);
    let snapshot = reader.snapshot();
    assert_eq!(snapshot.find_workload(&address("10.0.0.2")), None);
    assert_eq!(snapshot.find_service(&address("10.96.0.1"), None), None);
    assert!(snapshot.find_workload(&address("10.0.0.1")).is_some());
}

#[test]
fn policies_and_configurations_come_and_go() {
    let (writer, reader) = crate::new();
    let mut policies = writer.authorization_handler();
    let named = PolicyKey::new("prod", "p");
    assert!(policies.apply(vec![raw_policy(&policy("prod", "p", Scope::Namespace))], vec![]).is_empty());
    assert!(reader.snapshot().find_policy(&named).is_some());
    let rejected = policies.apply(vec![raw("prod/q", b"\xff".to_vec())], vec!["prod/p".to_owned()]);
    assert_eq!(rejected[0].name, "prod/q");
    assert_eq!(reader.snapshot().find_policy(&named), None);

    let mut configs = writer.service_config_handler();
    let config = ServiceConfig {
        key: key("web"),
        ports: Default::default(),
        subsets: Vec::new(),
        security: Default::default(),
        traffic: Default::default(),
        telemetry: None,
        rate_limits: Vec::new(),
        race_connections: false,
        grpc_web_ports: Default::default(),
        health_check: None,
        hedging: Vec::new(),
    };
    assert!(
        configs
            .apply(vec![raw(&config.key, service_config::encode(&config).encode_to_vec())], vec![])
            .is_empty()
    );
    assert_eq!(reader.snapshot().service_config(&key("web")).as_deref(), Some(&config));
    configs.apply(vec![], vec![config.key.to_string()]);
    assert_eq!(reader.snapshot().service_config(&key("web")), None);
}

#[test]
fn sec_a_waypoint_that_is_gone_is_told_from_one_that_was_never_told_of() {
    let (writer, reader) = crate::new();
    let mut configs = writer.waypoint_config_handler();
    let named = WaypointKey::new("prod", "way");
    let policy = RequestPolicy {
        key: PolicyKey::new("prod", "p"),
        action: PolicyAction::Allow,
        dry_run: false,
        rules: Vec::new(),
    };
    let security = Security { policies: vec![policy], token_rules: Vec::new() };
    let config = WaypointConfig {
        key: named.clone(),
        security,
        authorization_services: Vec::new(),
        telemetry: Default::default(),
        forward_client_identity: false,
        rate_limits: Vec::new(),
    };
    configs.apply(vec![], vec![named.to_string()]);
    assert_eq!(reader.snapshot().waypoint_config(&named), None, "never told of");
    let sent = raw(&named, waypoint_config::encode(&config).encode_to_vec());
    assert!(configs.apply(vec![sent], vec![]).is_empty());
    assert_eq!(reader.snapshot().waypoint_config(&named).as_deref(), Some(&config));
    configs.apply(vec![], vec![named.to_string()]);
    let left = reader.snapshot().waypoint_config(&named).unwrap();
    assert!(left.security.is_empty(), "gone");
}

#[test]
fn each_type_has_its_url() {
    let (writer, _) = crate::new();
    assert_eq!(writer.address_handler().type_url(), "type.googleapis.com/istio.workload.Address");
    assert_eq!(writer.authorization_handler().type_url(), "type.googleapis.com/istio.security.Authorization");
    assert_eq!(
        writer.service_config_handler().type_url(),
        "type.googleapis.com/adit.waypoint.v1.ServiceConfig"
    );
    assert_eq!(
        writer.waypoint_config_handler().type_url(),
        "type.googleapis.com/adit.waypoint.v1.WaypointConfig"
    );
}
