//! A workload for tests of labels, and the labels of what is not known.

use mesh_model::{Health, Locality, NetworkMode, SmallMap, TunnelProtocol, Uid, Workload, WorkloadKind};

use super::*;

/// A pod of the workload `name` in the namespace `prod`.
pub(crate) fn workload(name: &str) -> Arc<Workload> {
    Arc::new(Workload {
        uid: Uid::from(format!("Kubernetes//Pod/prod/{name}-1").as_str()),
        name: format!("{name}-1").into(),
        namespace: "prod".into(),
        addresses: Vec::new(),
        network: "".into(),
        tunnel: TunnelProtocol::Hbone,
        native_tunnel: false,
        trust_domain: "cluster.local".into(),
        service_account: name.into(),
        waypoint: None,
        network_gateway: None,
        node: "n1".into(),
        canonical_name: name.into(),
        canonical_revision: "v1".into(),
        kind: WorkloadKind::Pod,
        workload_name: name.into(),
        authorization_policies: Vec::new(),
        health: Health::Healthy,
        cluster_id: "Kubernetes".into(),
        hostname: "".into(),
        services: SmallMap::new(),
        application_tunnel: None,
        locality: Locality::default(),
        network_mode: NetworkMode::Standard,
        capacity: 1,
        labels: SmallMap::new(),
    })
}

fn tcp(reporter: Reporter, source: &Party, destination: &Party) -> TcpLabels {
    TcpLabels {
        reporter,
        source: Side::new(source),
        destination: Side::new(destination),
        service: None,
        flags: "-",
    }
}

#[test]
fn pods_of_one_workload_share_their_series() {
    let one = workload("web");
    let mut other = Workload::clone(&one);
    other.name = "web-2".into();
    other.uid = Uid::from("Kubernetes//Pod/prod/web-2");
    assert_eq!(Side::new(&Party::from(&one)), Side::new(&Party::from(&Arc::new(other))));
}

#[test]
fn tel_03_security_is_what_both_sides_have_proven() {
    let known = Party { workload: None, identity: Some(Identity::new("td", "prod", "web")) };
    let unknown = Party::default();
    for (reporter, source, destination, security) in [
        (Reporter::Source, &known, &known, Security::MutualTls),
        (Reporter::Source, &known, &unknown, Security::Unknown),
        (Reporter::Destination, &unknown, &known, Security::Unknown),
        (Reporter::Waypoint, &known, &known, Security::MutualTls),
        (Reporter::Waypoint, &known, &unknown, Security::None),
    ] {
        assert_eq!(tcp(reporter, source, destination).security(), security, "{reporter:?}");
    }
}
