//! Connections handed over by a ztunnel in front.

use std::net::SocketAddr;

use mesh_model::Attribute;
use mesh_net::proxy_protocol::header_v2;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::authorization::{allow, is};
use super::client::Client;
use super::mesh::{Mesh, vip};

const CLIENT: &str = "spiffe://cluster.local/ns/shop/sa/client";

async fn handed(mesh: &Mesh, target: SocketAddr, identity: Option<&str>) -> TcpStream {
    let mut stream = TcpStream::connect(mesh.handed).await.unwrap();
    let source = SocketAddr::new(mesh.client_ip(), 40000);
    // In two parts, as a network may have it.
    let header = header_v2(source, target, identity);
    let (first, second) = header.split_at(20);
    for part in [first, second] {
        stream.write_all(part).await.unwrap();
        stream.flush().await.unwrap();
    }
    stream
}

fn reviews(port: u16) -> SocketAddr {
    SocketAddr::new(vip(1), port)
}

#[tokio::test]
async fn hb_24_what_a_header_says_is_what_a_tunnel_would_have_said() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    for identity in [CLIENT, "spiffe://cluster.local/ns/other/sa/client"] {
        let mut client = Client::http1(handed(&mesh, reviews(80), Some(identity)).await).await;
        assert_eq!(client.get("/").await.body, "v1");
        let mut client = Client::http2(handed(&mesh, reviews(85), Some(identity)).await).await;
        assert_eq!(client.get("/").await.body, "v1");
        let principal = format!("source_principal=\"{identity}\"");
        assert!(!mesh.metric("istio_requests_total", &[&principal, "mutual_tls"]).is_empty(), "{identity}");
    }
}

#[tokio::test]
async fn sec_17_policies_see_the_identity_of_the_header() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    mesh.secure(allow(vec![vec![is(Attribute::SourcePrincipal, "cluster.local/ns/shop/sa/client")]]));
    for (identity, status) in [(CLIENT, 200), ("spiffe://cluster.local/ns/shop/sa/other", 403)] {
        let mut client = Client::http1(handed(&mesh, reviews(80), Some(identity)).await).await;
        assert_eq!(client.get("/").await.status, status, "{identity}");
    }
}

#[tokio::test]
async fn sec_who_has_proven_nothing_or_wants_something_else_is_closed() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let closes = async |mut stream: TcpStream| {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "{rest:?}");
    };
    closes(handed(&mesh, reviews(80), None).await).await;
    closes(handed(&mesh, reviews(80), Some("shop/client")).await).await;
    closes(handed(&mesh, SocketAddr::new(vip(9), 80), Some(CLIENT)).await).await;
    let mut garbage = TcpStream::connect(mesh.handed).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\nhost: reviews\r\n\r\n").await.unwrap();
    closes(garbage).await;
}
