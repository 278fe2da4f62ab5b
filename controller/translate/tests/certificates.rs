//! Certificates in ConfigMaps: what is asked for, and what is told once somebody has read them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/document.rs"]
mod document;

use std::sync::Arc;

use controller_translate::{
    Cluster, Kind, Name, ObjectKey, Resource, ResourceKey, Settings, resources, status,
};
use mesh_model::{NamespacedHostname, TlsTrust};

const OBJECTS: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: waypoint, namespace: prod }
spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }
status: { addresses: [{ type: IPAddress, value: 10.96.0.9 }] }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: prod, labels: { istio.io/use-waypoint: waypoint } }
spec: { clusterIP: 10.96.0.1, ports: [{ name: http, port: 80 }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: { name: p, namespace: prod }
spec:
  targetRefs: [{ group: "", kind: Service, name: web }]
  validation: { hostname: web.example, caCertificateRefs: [{ group: "", kind: ConfigMap, name: ca }] }
"#;

fn trusted(cluster: &Cluster, config: &ResourceKey) -> TlsTrust {
    let Some(Resource::ServiceConfig(config)) = resources::derive(cluster, config) else { panic!("none") };
    config.find_traffic(80, None).unwrap().tls.clone().unwrap().trust
}

fn told(cluster: &Cluster, policy: &ObjectKey) -> String {
    serde_json::to_string(&status::derive(cluster, policy).unwrap()).unwrap()
}

#[test]
fn st_11_certificates_reach_the_waypoint_and_follow_their_config_map() {
    let mut cluster = Cluster::new(Settings::default());
    for text in document::split(OBJECTS) {
        cluster.apply(document::read(text).unwrap().1);
    }
    let config = ResourceKey::ServiceConfig(NamespacedHostname::new("prod", "web.prod.svc.cluster.local"));
    let policy = ObjectKey::new(Kind::BackendTlsPolicy, "prod", "p");
    let map = Name::new("prod", "ca");
    assert!(cluster.wanted_certificates().iter().eq([&map]), "{:?}", cluster.wanted_certificates());
    assert_eq!(trusted(&cluster, &config), TlsTrust::Pem("".into()), "nobody is trusted before");
    assert!(told(&cluster, &policy).contains("has not been read"), "{}", told(&cluster, &policy));

    let certificates: Arc<str> = "certificates".into();
    let affected = cluster.set_certificates(&map, Ok(certificates.clone()));
    assert!(affected.resources.contains(&config) && affected.statuses.contains(&policy), "{affected:?}");
    assert_eq!(trusted(&cluster, &config), TlsTrust::Pem("certificates\n".into()));
    assert!(!told(&cluster, &policy).contains("\"False\""), "{}", told(&cluster, &policy));
    assert_eq!(cluster.set_certificates(&map, Ok(certificates)), Default::default(), "nothing new");

    cluster.set_certificates(&map, Err("does not exist".to_owned()));
    assert_eq!(trusted(&cluster, &config), TlsTrust::Pem("".into()));
    assert!(told(&cluster, &policy).contains("ConfigMap prod/ca does not exist"));

    assert!(cluster.remove(&policy).resources.contains(&config));
    assert!(cluster.wanted_certificates().is_empty());
}
