//! The client's address, told to backends that want to know.

use std::net::SocketAddr;

use mesh_model::{ProxyProtocolVersion, TrafficPolicy};

use super::mesh::{Mesh, vip};
use super::origination::{behind, unverified};

fn told(version: ProxyProtocolVersion) -> TrafficPolicy {
    TrafficPolicy { proxy_protocol: Some(version), ..TrafficPolicy::default() }
}

#[tokio::test]
async fn l7_21_the_backend_is_told_who_the_client_is() {
    for (version, number) in [(ProxyProtocolVersion::V1, 1), (ProxyProtocolVersion::V2, 2)] {
        let mesh = Mesh::start().await;
        let (front, _server) = behind(&mesh, true, false).await;
        mesh.shape(told(version));
        for port in [80, 85, 86] {
            let before = front.greetings().len();
            let mut client = mesh.http1(port).await;
            for _ in 0..2 {
                assert_eq!(client.get("/").await.body, "behind");
            }
            let greetings = front.greetings().split_off(before);
            assert_eq!(greetings.len(), 1, "one client, one connection");
            assert_eq!(greetings[0].version, Some(number));
            assert_eq!(greetings[0].client.unwrap().ip(), mesh.client_ip());
            assert_eq!(greetings[0].target, Some(SocketAddr::new(vip(1), port)));
        }
    }
}

#[tokio::test]
async fn l7_21_what_one_client_is_told_of_is_not_used_for_another() {
    let mesh = Mesh::start().await;
    let (front, _server) = behind(&mesh, true, true).await;
    mesh.shape(TrafficPolicy { tls: Some(unverified()), ..told(ProxyProtocolVersion::V1) });
    for _ in 0..2 {
        assert_eq!(mesh.http1(80).await.get("/").await.body, "behind");
    }
    let clients: Vec<_> = front.greetings().into_iter().map(|greeting| greeting.client.unwrap()).collect();
    assert_eq!(clients.len(), 2);
    assert_ne!(clients[0], clients[1], "each has a port of its own");
}
