//! Connections that rules send elsewhere: by weight, by the name they ask for, or nowhere.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesh_hbone::{ConnectError, StatusCode, Target, TunnelStream};
use mesh_model::{
    Backend, BackendTarget, Forward, PortConfig, ServiceConfig, StreamMatch, StreamRule, Subset,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::backend::NodeProxy;
use super::client::Client;
use super::mesh::{Mesh, REVIEWS};
use super::samples::{backend, key, rule, workload};

/// Says its name, then what it was told, until the client ends.
async fn speaker(mesh: &Mesh, name: &str, of: &str, captured: bool) -> Option<NodeProxy> {
    let listener = TcpListener::bind((mesh.free_ip(), 0)).await.unwrap();
    let mut endpoint = mesh.endpoint(name, of, listener.local_addr().unwrap());
    endpoint.labels.insert("version".into(), name.into());
    let name = format!("{name}:");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let name = name.clone();
            tokio::spawn(async move {
                stream.write_all(name.as_bytes()).await.unwrap();
                let (mut reader, mut writer) = stream.split();
                // Clients of some tests break off.
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
    if captured {
        return Some(mesh.captured(endpoint).await);
    }
    mesh.add(endpoint);
    None
}

fn stream_rule(matches: Vec<StreamMatch>, backends: Vec<Backend>) -> StreamRule {
    StreamRule { name: "TCPRoute/shop/reviews/0".into(), matches, forward: Forward { backends } }
}

fn weighted(service: &str, port: u16, weight: u32) -> Backend {
    Backend { weight, ..backend(service, port) }
}

fn nowhere(weight: u32) -> Backend {
    Backend { target: BackendTarget::Invalid { status: 503 }, ..weighted(REVIEWS, 0, weight) }
}

fn names(hosts: &[&str]) -> Vec<StreamMatch> {
    let sni_hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    vec![StreamMatch { sni_hosts, ..StreamMatch::default() }]
}

fn govern(mesh: &Mesh, port: u16, stream_rules: Vec<StreamRule>) {
    let config = PortConfig { stream_rules, ..PortConfig::default() };
    mesh.configure(ServiceConfig {
        key: key(REVIEWS),
        ports: [(port, config)].into(),
        subsets: vec![],
        security: Default::default(),
        traffic: Default::default(),
        telemetry: None,
        rate_limits: Vec::new(),
        race_connections: false,
        grpc_web_ports: Default::default(),
        health_check: None,
        hedging: Vec::new(),
    });
}

async fn said(mut stream: TunnelStream, text: &[u8]) -> Vec<u8> {
    stream.write_all(text).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    all
}

async fn answer(mesh: &Mesh, port: u16, text: &[u8]) -> String {
    let all = said(mesh.tunnel(mesh.target(port)).await.unwrap(), text).await;
    String::from_utf8_lossy(&all).into_owned()
}

/// The beginning of TLS for a host.
pub(super) fn greeting(host: &str) -> Vec<u8> {
    let long = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let name = [&[0, 0][..], &long(&long(&[&[0][..], &long(host.as_bytes())].concat()))].concat();
    let body = [&[3, 3][..], &[7; 32], &[0], &long(&[0x13, 1]), &[1, 0], &long(&name)].concat();
    let hello = [&[1, 0][..], &long(&body)].concat();
    [&[22, 3, 1][..], &long(&hello)].concat()
}

async fn counted(mesh: &Mesh, name: &str, label: &str, value: usize) {
    let begin = Instant::now();
    loop {
        let page = mesh.registry.encode();
        let lines = page.lines().filter(|line| line.starts_with(name) && line.contains(label));
        let sum: f64 = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        if sum == value as f64 {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{name} {label} is not {value}:\n{page}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn refused<T>(result: Result<T, ConnectError>) -> StatusCode {
    match result {
        Err(ConnectError::Refused(status)) => status,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a tunnel"),
    }
}

#[tokio::test]
async fn l7_16_connections_by_weight_to_captured_uncaptured_and_another_port() {
    let mesh = Mesh::start().await;
    mesh.add_service("captured", 2);
    mesh.add_service("uncaptured", 3);
    let node = speaker(&mesh, "captured", "captured", true).await.unwrap();
    speaker(&mesh, "uncaptured", "uncaptured", false).await;
    speaker(&mesh, "own", REVIEWS, false).await;
    let backends = vec![weighted("captured", 86, 3), weighted("uncaptured", 86, 1), weighted(REVIEWS, 81, 1)];
    // Where plain TCP is declared, and where it is found out.
    for port in [86, 7071] {
        govern(&mesh, port, vec![stream_rule(vec![], backends.clone())]);
        let mut counts = BTreeMap::new();
        for _ in 0..60 {
            let said = answer(&mesh, port, b"x").await;
            let (name, echoed) = said.split_once(':').unwrap();
            assert_eq!(echoed, "x");
            *counts.entry(name.to_owned()).or_insert(0) += 1;
        }
        // 36, 12, 12 of 60: that a smaller one is missed happens once in three hundred thousand runs.
        assert_eq!(counts.len(), 3, "port {port}: {counts:?}");
        assert!(
            counts["captured"] > counts["own"] && counts["captured"] > counts["uncaptured"],
            "{counts:?}"
        );
    }
    let waypoint = workload("waypoint", mesh.waypoint_ip()).identity();
    assert!(node.asked.lock().unwrap().iter().all(|(identity, _)| *identity == waypoint));
}

#[tokio::test]
async fn wp_33_where_no_name_is_asked_for_the_server_may_speak_first() {
    let mesh = Mesh::start().await;
    speaker(&mesh, "own", REVIEWS, false).await;
    let clients = StreamMatch { source_namespace: Some("others".into()), ..StreamMatch::default() };
    let of_others = StreamMatch { sni_hosts: names(&["a"])[0].sni_hosts.clone(), ..clients };
    // Those rules with names are for others.
    let rules = vec![
        stream_rule(vec![of_others], vec![nowhere(1)]),
        stream_rule(vec![], vec![backend(REVIEWS, 86)]),
        stream_rule(names(&["b"]), vec![nowhere(1)]),
    ];
    govern(&mesh, 86, rules);
    let begin = Instant::now();
    let mut stream = mesh.tunnel(mesh.target(86)).await.unwrap();
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"own:");
    assert!(begin.elapsed() < Duration::from_secs(2), "nobody waited for the client");
}

#[tokio::test]
async fn l7_17_connections_by_the_name_they_ask_for() {
    let mesh = Mesh::start().await;
    mesh.add_service("named", 2);
    speaker(&mesh, "named", "named", false).await;
    speaker(&mesh, "own", REVIEWS, false).await;
    let named = stream_rule(names(&["a.example.com", "*.b.example.com"]), vec![backend("named", 86)]);
    let rest = stream_rule(vec![], vec![backend(REVIEWS, 86)]);
    for port in [86, 81] {
        govern(&mesh, port, vec![named.clone(), rest.clone()]);
        for (host, expected) in
            [("A.example.com", "named"), ("x.b.example.com", "named"), ("b.example.com", "own")]
        {
            let hello = greeting(host);
            let all = said(mesh.tunnel(mesh.target(port)).await.unwrap(), &hello).await;
            let expected = [format!("{expected}:").as_bytes(), &hello].concat();
            assert!(all == expected, "{host} on {port}: {}", String::from_utf8_lossy(&all));
        }
        // No TLS at all, and a client that ends before it has said anything.
        assert_eq!(answer(&mesh, port, b"something else").await, "own:something else");
        assert_eq!(answer(&mesh, port, b"").await, "own:");
    }
    // Who waits for the server gets to the rule without a name after a while.
    govern(&mesh, 86, vec![named, rest]);
    let mut stream = mesh.tunnel(mesh.target(86)).await.unwrap();
    let mut first = [0; 4];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"own:");
}

#[tokio::test]
async fn l7_17_a_name_that_no_route_is_for_is_closed_with_its_reason() {
    let mesh = Mesh::start().await;
    speaker(&mesh, "own", REVIEWS, false).await;
    govern(&mesh, 86, vec![stream_rule(names(&["a.example.com"]), vec![backend(REVIEWS, 86)])]);
    for text in [greeting("c.example.com"), b"something else".to_vec()] {
        let mut stream = mesh.tunnel(mesh.target(86)).await.unwrap();
        stream.write_all(&text).await.unwrap();
        let mut all = Vec::new();
        assert!(stream.read_to_end(&mut all).await.is_err(), "reset");
        assert_eq!(all, b"");
    }
    counted(&mesh, "istio_tcp_connections_closed_total", "response_flags=\"NR\"", 2).await;
    assert!(answer(&mesh, 86, &greeting("a.example.com")).await.starts_with("own:"));
}

#[tokio::test]
async fn wp_28_the_share_of_a_backend_that_does_not_exist_is_closed() {
    let mesh = Mesh::start().await;
    speaker(&mesh, "own", REVIEWS, false).await;
    govern(&mesh, 86, vec![stream_rule(vec![], vec![weighted(REVIEWS, 86, 1), nowhere(1)])]);
    let (mut taken, mut closed) = (0, 0);
    for _ in 0..40 {
        match mesh.tunnel(mesh.target(86)).await {
            Ok(stream) => {
                assert_eq!(said(stream, b"x").await, b"own:x");
                taken += 1;
            }
            result => {
                assert_eq!(refused(result), StatusCode::SERVICE_UNAVAILABLE);
                closed += 1;
            }
        }
    }
    assert!(taken > 0 && closed > 0, "{taken} taken, {closed} closed");
    counted(&mesh, "istio_tcp_connections_closed_total", "response_flags=\"NR\"", closed).await;
    // No backend, and none with a weight, take nothing.
    for backends in [vec![], vec![weighted(REVIEWS, 86, 0)]] {
        govern(&mesh, 86, vec![stream_rule(vec![], backends)]);
        assert_eq!(refused(mesh.tunnel(mesh.target(86)).await), StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn l7_04_a_subset_takes_connections_too_and_other_endpoints_are_tried() {
    let mesh = Mesh::start().await;
    speaker(&mesh, "v1", REVIEWS, false).await;
    speaker(&mesh, "v2", REVIEWS, false).await;
    let subset = |name: &str| Subset {
        name: name.into(),
        labels: [("version".into(), name.into())].into(),
        traffic: Default::default(),
    };
    let target =
        |name: &str| BackendTarget::Service { service: key(REVIEWS), port: 86, subset: Some(name.into()) };
    let to = |name: &str| {
        let only = Backend { target: target(name), ..backend(REVIEWS, 86) };
        let config =
            PortConfig { stream_rules: vec![stream_rule(vec![], vec![only])], ..PortConfig::default() };
        let subsets = vec![subset("v1"), subset("v2")];
        mesh.configure(ServiceConfig {
            key: key(REVIEWS),
            ports: [(0, config)].into(),
            subsets,
            security: Default::default(),
            traffic: Default::default(),
            telemetry: None,
            rate_limits: Vec::new(),
            race_connections: false,
            grpc_web_ports: Default::default(),
            health_check: None,
            hedging: Vec::new(),
        });
    };
    for name in ["v1", "v2"] {
        to(name);
        for _ in 0..10 {
            assert_eq!(answer(&mesh, 86, b"x").await, format!("{name}:x"));
        }
    }
    // RES-16: an endpoint that is gone is passed over.
    let mut gone = mesh.endpoint("gone", REVIEWS, std::net::SocketAddr::new(mesh.free_ip(), 9));
    gone.labels.insert("version".into(), "v2".into());
    mesh.add(gone);
    for _ in 0..10 {
        assert_eq!(answer(&mesh, 86, b"x").await, "v2:x");
    }
    to("v3");
    assert_eq!(refused(mesh.tunnel(mesh.target(86)).await), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn requests_on_a_port_that_declares_nothing_are_not_the_business_of_rules_for_connections() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let config = PortConfig {
        http_rules: vec![rule("only", vec![backend(REVIEWS, 81)])],
        governed: true,
        stream_rules: vec![stream_rule(vec![], vec![nowhere(1)])],
    };
    mesh.configure(ServiceConfig {
        key: key(REVIEWS),
        ports: [(0, config)].into(),
        subsets: vec![],
        security: Default::default(),
        traffic: Default::default(),
        telemetry: None,
        rate_limits: Vec::new(),
        race_connections: false,
        grpc_web_ports: Default::default(),
        health_check: None,
        hedging: Vec::new(),
    });
    for port in [80, 81] {
        let stream = mesh.tunnel(mesh.target(port)).await.unwrap();
        assert_eq!(Client::http1(stream).await.get("/").await.status, 200);
    }
    assert_eq!(v1.seen().len(), 2);
    // A workload's own address has no rules.
    let own = Target::from(v1.address);
    assert_eq!(refused(mesh.tunnel(own).await), StatusCode::NOT_FOUND);
}
