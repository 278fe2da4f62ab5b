//! Tests of `controller`.

use std::net::Ipv4Addr;

use mesh_identity::{
    CaClient, ControlPlane, ControlPlaneSettings, RootSource, Store, StoreSettings, TokenSource,
};
use mesh_model::{Locality, NetworkAddress, TunnelProtocol, Uid};
use mesh_state::{AddressHandler, Reader};
use mesh_xds::{Client, ConnectError, NodeId};

use super::*;

fn workload() -> Workload {
    Workload {
        uid: Uid::from("Kubernetes//Pod/default/web"),
        name: "web".into(),
        namespace: "default".into(),
        addresses: vec![Ipv4Addr::new(10, 244, 1, 5).into()],
        network: "".into(),
        tunnel: TunnelProtocol::Hbone,
        native_tunnel: false,
        trust_domain: "cluster.local".into(),
        service_account: "web".into(),
        waypoint: None,
        network_gateway: None,
        node: "node-1".into(),
        canonical_name: "web".into(),
        canonical_revision: "latest".into(),
        kind: Default::default(),
        workload_name: "web".into(),
        authorization_policies: Vec::new(),
        health: Default::default(),
        cluster_id: "Kubernetes".into(),
        hostname: "".into(),
        services: Default::default(),
        application_tunnel: None,
        locality: Locality::default(),
        network_mode: Default::default(),
        capacity: 1,
        labels: Default::default(),
    }
}

fn control_plane(controller: &TestController) -> ControlPlane {
    let settings = ControlPlaneSettings {
        address: controller.url(),
        root: RootSource::System,
        token: TokenSource::None,
        cluster_id: "Kubernetes".to_owned(),
        verified_name: None,
        headers: Vec::new(),
    };
    ControlPlane::new(settings).unwrap()
}

/// A proxy's state, fed by the controller.
fn subscribe(controller: &TestController) -> (Reader, tokio::task::JoinHandle<()>) {
    let (writer, reader) = mesh_state::new();
    let control_plane = control_plane(controller);
    let connect = move || {
        let channel = control_plane.channel();
        async move { channel.map_err(|error| ConnectError(error.into())) }
    };
    let id = NodeId {
        kind: "ztunnel".to_owned(),
        ip: Ipv4Addr::LOCALHOST.into(),
        name: "ztunnel-1".to_owned(),
        namespace: "istio-system".to_owned(),
        domain: "istio-system.svc.cluster.local".to_owned(),
    };
    let node = Node { id: id.to_string(), ..Node::default() };
    let handler: AddressHandler = writer.address_handler();
    let client = Client::new(connect, node, vec![Box::new(handler)]);
    (reader, tokio::spawn(client.run(|| {}, std::future::pending())))
}

async fn until(condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), poll).await.unwrap();
}

#[tokio::test]
async fn what_is_published_reaches_a_proxy_and_what_is_removed_leaves_it() {
    let controller = TestController::start((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    controller.publish(&workload());
    let (reader, client) = subscribe(&controller);
    let address = NetworkAddress::new("", Ipv4Addr::new(10, 244, 1, 5).into());
    until(|| reader.snapshot().find_workload(&address).is_some()).await;
    assert_eq!(*reader.snapshot().find_workload(&address).unwrap(), workload());
    assert_eq!(
        controller.peers(),
        ["ztunnel~127.0.0.1~ztunnel-1.istio-system~istio-system.svc.cluster.local"]
    );
    controller.publish(&Workload { service_account: "other".into(), ..workload() });
    until(|| {
        reader.snapshot().find_workload(&address).is_some_and(|found| &*found.service_account == "other")
    })
    .await;
    controller.remove(&workload());
    until(|| reader.snapshot().find_workload(&address).is_none()).await;
    client.abort();
}

#[tokio::test]
async fn it_certifies_whom_a_proxy_speaks_for() {
    let controller = TestController::start((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let client = CaClient::new(control_plane(&controller), Duration::from_secs(600));
    let store = Store::new(Arc::new(client), StoreSettings::default());
    let web = Identity::new("cluster.local", "default", "web");
    let certificate = store.fetch(&web).await.unwrap();
    assert_eq!(*certificate.identity(), web);
    assert_eq!(certificate.roots()[0].pem(), controller.ca().root_pem());
    assert_eq!(controller.ca().calls(), [web]);
}

#[tokio::test]
async fn it_is_gone_with_its_value() {
    let controller = TestController::start((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = controller.address();
    tokio::net::TcpStream::connect(address).await.unwrap();
    drop(controller);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    // The same address may be taken again, by a controller that comes back.
    TestController::start(address).unwrap();
}
