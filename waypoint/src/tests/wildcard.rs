//! Services whose host is a wildcard: the host that is asked for says where requests and connections go.

use std::net::{IpAddr, SocketAddr};

use mesh_hbone::Target;
use mesh_model::{AppProtocol, NamespacedHostname, Service, ServiceConfig, TlsTrust, TrafficPolicy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::backend::{Act, Backend};
use super::client::{Client, Reply, request};
use super::front::{Begin, Front, server_tls};
use super::mesh::{Mesh, REVIEWS, eventually, vip};
use super::origination::unverified;
use super::samples::{backend, config, gateway, rule, service, workload};
use super::streams::greeting;

const HTTP: u16 = 80;
const TLS: u16 = 443;

/// `*.example.com`, with two ports that lead to these.
fn add_wildcard(mesh: &Mesh, http: u16, tls: u16) -> NamespacedHostname {
    let key = NamespacedHostname::new("shop", "*.example.com");
    let ports = [(HTTP, AppProtocol::Http11), (TLS, AppProtocol::Tls)];
    let mut wildcard =
        Service { key: key.clone(), ..service("wildcard", vip(9), mesh.waypoint_ip(), &ports) };
    for (port, target) in wildcard.ports.iter_mut().zip([http, tls]) {
        port.target_port = target;
    }
    mesh.writer.change(|edit| edit.insert_service(wildcard));
    key
}

/// What DNS says of a host.
fn resolve(mesh: &Mesh, host: &str, addresses: &[IpAddr]) {
    mesh.names.lock().unwrap().insert(format!("{host}."), addresses.to_vec());
}

async fn ask(mesh: &Mesh, host: &str) -> Reply {
    let mut asked = request("GET", "/");
    asked.headers_mut().insert("host", host.parse().unwrap());
    let target = Target::from(SocketAddr::new(vip(9), HTTP));
    Client::http1(mesh.tunnel(target).await.unwrap()).await.send(asked).await
}

async fn ask_by_tls(mesh: &Mesh, host: &str) -> String {
    let target = Target::from(SocketAddr::new(vip(9), TLS));
    let mut stream = mesh.tunnel(target).await.unwrap();
    stream.write_all(&greeting(host)).await.unwrap();
    let mut first = [0; 4];
    // Those that lead nowhere are reset.
    let read = stream.read_exact(&mut first).await;
    read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&first).into_owned())
}

#[tokio::test]
async fn eg_15_eg_16_a_request_goes_to_the_host_it_names() {
    let mesh = Mesh::start().await;
    let server = Backend::start(mesh.free_ip(), |_, seen| Act::text(200, seen.host())).await;
    add_wildcard(&mesh, server.address.port(), 1);
    resolve(&mesh, "api.example.com", &[server.address.ip()]);
    // The address it was made to says nothing of the host.
    let reply = ask(&mesh, "API.example.com:80").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "API.example.com:80"));
    let lookups = mesh.metric("istio_on_demand_dns_total", &["hostname=\"*.example.com\""]);
    assert!(lookups[0].ends_with(" 1"), "{lookups:?}");

    for outside in ["example.com", "api.example.org", "10.0.0.1", "api.example.com.evil"] {
        assert_eq!(ask(&mesh, outside).await.status, 404, "{outside}");
    }
    let unknown = ask(&mesh, "unknown.example.com").await;
    assert_eq!((unknown.status, unknown.body.as_str()), (503, "no healthy upstream"));
}

#[tokio::test]
async fn eg_15_rules_of_another_service_lead_to_hosts_of_a_wildcard() {
    let mesh = Mesh::start().await;
    let server = Backend::start(mesh.free_ip(), |_, seen| Act::text(200, seen.host())).await;
    let key = add_wildcard(&mesh, server.address.port(), 1);
    resolve(&mesh, "api.example.com", &[server.address.ip()]);
    let mut leads_out = rule("out", vec![backend(REVIEWS, HTTP)]);
    if let mesh_model::RuleAction::Forward(forward) = &mut leads_out.action {
        forward.backends[0].target =
            mesh_model::BackendTarget::Service { service: key, port: HTTP, subset: None };
    }
    let authority = Some("api.example.com".into());
    leads_out.rewrite = Some(mesh_model::Rewrite { authority, path: None });
    mesh.govern(vec![leads_out]);
    assert_eq!(mesh.http1(HTTP).await.get("/").await.body, "api.example.com");
}

#[tokio::test]
async fn eg_18_tls_asks_for_the_host_of_the_request() {
    let mesh = Mesh::start().await;
    let server = Backend::start(mesh.free_ip(), |_, _| Act::text(200, "secure")).await;
    let begin = Begin { proxy_protocol: false, tls: Some(server_tls(&mesh.ca, &["api.example.com"])) };
    let front = Front::start(mesh.free_ip(), begin, server.address).await;
    let key = add_wildcard(&mesh, front.address.port(), 1);
    for host in ["api.example.com", "other.example.com"] {
        resolve(&mesh, host, &[front.address.ip()]);
    }
    let tls = mesh_model::UpstreamTls { trust: TlsTrust::Pem(mesh.ca.root_pem().into()), ..unverified() };
    let policy = TrafficPolicy { tls: Some(tls), ..TrafficPolicy::default() };
    let traffic = [(0, policy)].into();
    mesh.configure(ServiceConfig { key, traffic, ports: Default::default(), ..config(REVIEWS, vec![]) });
    assert_eq!(ask(&mesh, "api.example.com").await.body, "secure");
    let greeting = front.greetings().pop().unwrap();
    assert_eq!(greeting.server_name.as_deref(), Some("api.example.com"));
    assert_eq!(greeting.protocol.as_deref(), Some("http/1.1"));
    assert_eq!(ask(&mesh, "other.example.com").await.status, 503, "the certificate is for another host");
}

#[tokio::test]
async fn eg_17_a_connection_goes_to_the_host_it_asks_for_by_tls() {
    let mesh = Mesh::start().await;
    let listener = tokio::net::TcpListener::bind((mesh.free_ip(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut first = [0; 3];
            stream.read_exact(&mut first).await.unwrap();
            assert_eq!(first, [22, 3, 1], "the bytes are the client's own");
            stream.write_all(b"here").await.unwrap();
        }
    });
    add_wildcard(&mesh, 1, address.port());
    resolve(&mesh, "api.example.com", &[address.ip()]);
    assert_eq!(ask_by_tls(&mesh, "api.example.com").await, "here");
    assert_eq!(ask_by_tls(&mesh, "api.example.org").await, "");
    eventually(async || {
        let closed = mesh.metric("istio_tcp_connections_closed_total", &["response_flags=\"NR\""]);
        closed.len() == 1
    })
    .await;
}

#[tokio::test]
async fn eg_15_no_host_leads_around_the_policies_of_the_mesh() {
    let mesh = Mesh::start().await;
    let server = Backend::start(mesh.free_ip(), |_, _| Act::text(200, "reached")).await;
    add_wildcard(&mesh, server.address.port(), 1);
    let captured = mesh.free_ip();
    let mut endpoint = workload("captured", captured);
    endpoint.tunnel = mesh_model::TunnelProtocol::Hbone;
    mesh.add(endpoint);
    let inside: [(&str, IpAddr); 4] = [
        ("captured", captured),
        ("behind-a-waypoint", vip(1)),
        ("this-waypoint", mesh.waypoint_ip()),
        ("this-link", "169.254.169.254".parse().unwrap()),
    ];
    for (name, address) in inside {
        let host = format!("{name}.example.com");
        resolve(&mesh, &host, &[address]);
        let reply = ask(&mesh, &host).await;
        assert_eq!(reply.status, 403, "{name}");
        assert!(reply.body.contains("ask for it by its own name"), "{name}: {}", reply.body);
    }
    // Of several addresses those are used that may be.
    resolve(&mesh, "both.example.com", &[captured, server.address.ip()]);
    assert_eq!(ask(&mesh, "both.example.com").await.body, "reached");
}

#[tokio::test]
async fn eg_15_a_host_that_is_a_guarded_service_of_its_own_is_not_reached_by_a_wildcard() {
    let mesh = Mesh::start().await;
    let server = Backend::start(mesh.free_ip(), |_, _| Act::text(200, "reached")).await;
    add_wildcard(&mesh, server.address.port(), 1);
    for host in ["own.example.com", "a.wide.example.com", "open.example.com"] {
        resolve(&mesh, host, &[server.address.ip()]);
    }
    for (number, (host, is_guarded)) in
        [("own.example.com", true), ("*.wide.example.com", true), ("open.example.com", false)]
            .into_iter()
            .enumerate()
    {
        let key = NamespacedHostname::new("shop", host);
        let mut own = Service { key, ..service("own", vip(20 + number as u8), mesh.waypoint_ip(), &[]) };
        own.waypoint = is_guarded.then(|| gateway(mesh.waypoint_ip()));
        mesh.writer.change(|edit| edit.insert_service(own));
    }
    assert_eq!(ask(&mesh, "own.example.com").await.status, 403);
    assert_eq!(ask(&mesh, "a.wide.example.com").await.status, 403);
    assert_eq!(ask(&mesh, "open.example.com").await.body, "reached");
}
