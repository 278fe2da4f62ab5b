//! TLS towards backends.

use std::time::Duration;

use mesh_model::{ProxyProtocolVersion, TcpLimits, TlsTrust, TrafficPolicy, UpstreamTls, UpstreamVersion};

use super::backend::{Act, Backend};
use super::client::Reply;
use super::front::{Begin, Front, server_tls};
use super::mesh::{Mesh, REVIEWS, eventually};

/// A backend behind a front, which is an endpoint of `reviews`.
pub(super) async fn behind(mesh: &Mesh, proxy_protocol: bool, tls: bool) -> (Front, Backend) {
    let server = Backend::start(mesh.free_ip(), |_, _| Act::text(200, "behind")).await;
    let tls = tls.then(|| server_tls(&mesh.ca, &["api.example.com"]));
    let front = Front::start(mesh.free_ip(), Begin { proxy_protocol, tls }, server.address).await;
    mesh.add(mesh.endpoint("v1", REVIEWS, front.address));
    (front, server)
}

pub(super) fn unverified() -> UpstreamTls {
    UpstreamTls { sni: None, subject_alt_names: Vec::new(), trust: TlsTrust::Unverified, client: None }
}

fn verified(mesh: &Mesh, sni: &str) -> UpstreamTls {
    UpstreamTls { sni: Some(sni.into()), trust: TlsTrust::Pem(mesh.ca.root_pem().into()), ..unverified() }
}

fn tls(tls: UpstreamTls) -> TrafficPolicy {
    TrafficPolicy { tls: Some(tls), ..TrafficPolicy::default() }
}

async fn get(mesh: &Mesh, port: u16) -> Reply {
    mesh.http1(port).await.get("/").await
}

#[tokio::test]
async fn l7_18_http_comes_in_and_https_goes_out() {
    let mesh = Mesh::start().await;
    let (front, server) = behind(&mesh, false, true).await;
    mesh.shape(tls(unverified()));
    assert_eq!(get(&mesh, 80).await.body, "behind");
    let greeting = front.greetings().pop().unwrap();
    assert_eq!(greeting.server_name.as_deref(), Some("reviews"), "the host of the request");
    assert_eq!(greeting.protocol.as_deref(), Some("http/1.1"), "EG-12");
    assert_eq!(server.only().version, http::Version::HTTP_11);
}

#[tokio::test]
async fn eg_12_the_server_is_verified_and_asked_for_by_the_policy_s_name() {
    let mesh = Mesh::start().await;
    let (front, server) = behind(&mesh, false, true).await;
    let asked = verified(&mesh, "api.example.com");
    mesh.shape(TrafficPolicy { http_version: UpstreamVersion::Http2, ..tls(asked) });
    assert_eq!(get(&mesh, 80).await.body, "behind");
    let greeting = front.greetings().pop().unwrap();
    assert_eq!(greeting.server_name.as_deref(), Some("api.example.com"));
    assert_eq!(greeting.protocol.as_deref(), Some("h2"));
    assert_eq!((server.only().version, server.only().host()), (http::Version::HTTP_2, "reviews"));
}

#[tokio::test]
async fn a_server_with_another_name_gets_nothing_even_if_it_was_good_before() {
    let mesh = Mesh::start().await;
    let (front, server) = behind(&mesh, false, true).await;
    mesh.shape(tls(unverified()));
    let mut client = mesh.http1(80).await;
    assert_eq!(client.get("/").await.status, 200);
    mesh.shape(tls(verified(&mesh, "www.example.com")));
    let reply = client.get("/").await;
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (503, "upstream connect error or disconnect/reset before headers")
    );
    assert_eq!((server.seen().len(), front.greetings().len()), (1, 1));
    eventually(async || {
        let flagged = mesh.metric("istio_requests_total", &["response_flags=\"UF,URX\""]);
        flagged.len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_gets_nothing() {
    let mesh = Mesh::start().await;
    let (_front, server) = behind(&mesh, false, false).await;
    let silent = TcpLimits { connect_timeout: Some(Duration::from_millis(100)), ..TcpLimits::default() };
    mesh.shape(TrafficPolicy { tcp: silent, ..tls(unverified()) });
    assert_eq!(get(&mesh, 80).await.status, 503);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn l7_18_tls_goes_inside_the_tunnel_of_a_captured_backend() {
    let mesh = Mesh::start().await;
    let server = Backend::start(mesh.free_ip(), |_, _| Act::text(200, "captured")).await;
    let begin = Begin { proxy_protocol: true, tls: Some(server_tls(&mesh.ca, &["api.example.com"])) };
    let front = Front::start(mesh.free_ip(), begin, server.address).await;
    let node = mesh.captured(mesh.endpoint("v1", REVIEWS, front.address)).await;
    let policy = TrafficPolicy {
        proxy_protocol: Some(ProxyProtocolVersion::V1),
        ..tls(verified(&mesh, "api.example.com"))
    };
    mesh.shape(policy);
    assert_eq!(get(&mesh, 80).await.body, "captured");
    assert_eq!(node.asked.lock().unwrap().len(), 1);
    assert_eq!(front.greetings().len(), 1);
}

#[tokio::test]
async fn l7_18_connections_that_carry_no_http_get_tls_too() {
    let mesh = Mesh::start().await;
    let (front, _server) = behind(&mesh, false, true).await;
    mesh.shape(tls(verified(&mesh, "api.example.com")));
    assert_eq!(get(&mesh, 86).await.body, "behind", "to the waypoint, just bytes");
    assert_eq!(front.greetings().pop().unwrap().protocol, None);
    mesh.shape(tls(verified(&mesh, "www.example.com")));
    assert!(mesh.tunnel(mesh.target(86)).await.is_err());
    let failed = mesh.metric("istio_tcp_connections_closed_total", &["response_flags=\"TLS_FAILURE\""]);
    assert_eq!(failed.len(), 1, "{failed:?}");
}
