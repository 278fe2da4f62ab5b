//! A whole waypoint against a whole controller, over real sockets.

#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use mesh_hbone::{ConnectRequest, Settings, Target, TlsStream};
use mesh_model::{
    AppProtocol, DirectResponse, Fault, GatewayAddress, GatewayDestination, HeaderChange, Health, HttpRule,
    Identity, IpFamilies, LoadBalancing, Locality, NamespacedHostname, NetworkAddress, NetworkMode,
    PortConfig, Retry, RuleAction, Security, Service, ServiceConfig, ServicePort, SmallMap, TunnelProtocol,
    Uid, Visibility, WaypointConfig, WaypointKey, Workload, WorkloadKind,
};
use mesh_testkit::controller::TestController;
use tokio::net::TcpStream;
use waypoint::{Config, OwnPod, Place, Ports, RequestLog, Server};

const MUCH: Duration = Duration::from_secs(30);
const WAYPOINT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 78, 0, 1));
const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));

fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

fn workload(name: &str, address: SocketAddr) -> Workload {
    let key = NamespacedHostname::new("shop", "reviews.shop.svc.cluster.local");
    Workload {
        uid: Uid(format!("Kubernetes//Pod/shop/{name}").into()),
        name: name.into(),
        namespace: "shop".into(),
        addresses: vec![address.ip()],
        network: "".into(),
        tunnel: TunnelProtocol::Tcp,
        native_tunnel: false,
        trust_domain: "cluster.local".into(),
        service_account: name.into(),
        waypoint: None,
        network_gateway: None,
        node: "node1".into(),
        canonical_name: name.into(),
        canonical_revision: "v1".into(),
        kind: WorkloadKind::Pod,
        workload_name: name.into(),
        authorization_policies: Vec::new(),
        health: Health::Healthy,
        cluster_id: "Kubernetes".into(),
        hostname: "".into(),
        services: if address.port() == 0 {
            SmallMap::new()
        } else {
            [(key, [(80, address.port())].into())].into()
        },
        application_tunnel: None,
        locality: Locality::default(),
        network_mode: NetworkMode::Standard,
        capacity: 1,
        labels: SmallMap::new(),
    }
}

fn service() -> Service {
    let destination = GatewayDestination::Address(NetworkAddress::new("", WAYPOINT));
    Service {
        name: "reviews".into(),
        key: NamespacedHostname::new("shop", "reviews.shop.svc.cluster.local"),
        addresses: vec![NetworkAddress::new("", VIP)],
        cidrs: Vec::new(),
        ports: vec![ServicePort { service_port: 80, target_port: 0, app_protocol: AppProtocol::Http11 }],
        subject_alt_names: Vec::new(),
        waypoint: Some(GatewayAddress { destination, hbone_mtls_port: 15008 }),
        weighted_waypoints: Vec::new(),
        load_balancing: LoadBalancing::default(),
        ip_families: IpFamilies::Automatic,
        canonical: false,
        ingress_use_waypoint: false,
        visibility: Visibility::Public,
    }
}

/// A configuration that answers 418 itself.
fn teapot() -> ServiceConfig {
    let rule = HttpRule {
        name: "teapot".into(),
        matches: Vec::new(),
        request_headers: HeaderChange::default(),
        response_headers: HeaderChange::default(),
        action: RuleAction::DirectResponse(DirectResponse {
            status: 418,
            body: b"short and stout".as_slice().into(),
        }),
        rewrite: None,
        request_timeout: None,
        attempt_timeout: None,
        retry: Retry::default(),
        fault: Fault::default(),
        mirrors: Vec::new(),
        cors: None,
        session: None,
    };
    let port = PortConfig { http_rules: vec![rule], governed: true, ..PortConfig::default() };
    ServiceConfig {
        key: service().key,
        ports: [(0, port)].into(),
        subsets: Vec::new(),
        security: Default::default(),
        traffic: Default::default(),
        telemetry: None,
        rate_limits: Vec::new(),
        race_connections: false,
        grpc_web_ports: Default::default(),
        health_check: None,
        hedging: Vec::new(),
    }
}

/// An application that answers with a greeting.
async fn application() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.78.0.10:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer =
                |_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello")))) };
            let service = hyper::service::service_fn(answer);
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

fn config(controller: &TestController, ports: Ports) -> Config {
    let server = || Server { address: controller.url(), root: "SYSTEM".to_owned(), verified_name: None };
    Config {
        own: OwnPod {
            name: "waypoint".to_owned(),
            namespace: "shop".to_owned(),
            service_account: "waypoint".to_owned(),
            node: "node1".to_owned(),
            ip: WAYPOINT,
            gateway: "waypoint".to_owned(),
        },
        place: Place {
            trust_domain: "cluster.local".to_owned(),
            network: String::new(),
            cluster_id: "Kubernetes".to_owned(),
        },
        controller: server(),
        ca: server(),
        token: "shop.waypoint".to_owned(),
        certificate_ttl: Duration::from_secs(3600),
        ports,
        proxy_protocol: None,
        worker_threads: 2,
        drain_deadline: Duration::from_secs(5),
        detection_patience: Duration::from_secs(5),
        reachable: Vec::new(),
        access_log: RequestLog::AsConfigured,
        tls: Default::default(),
    }
}

async fn send(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    method: Method,
    path: &str,
) -> Option<(u16, String)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request =
        Request::builder().method(method).uri(path).header("host", "reviews").body(Full::<Bytes>::default());
    let response = sender.send_request(request.unwrap()).await.ok()?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}

async fn asked(port: u16, method: Method, path: &str) -> Option<(u16, String)> {
    send(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?, method, path).await
}

/// A request through a tunnel, as the client's ztunnel would send it.
async fn called(controller: &TestController, port: u16) -> Option<(u16, String)> {
    let identity = |name: &str| Identity::new("cluster.local", "shop", name);
    let tcp = TcpStream::connect((WAYPOINT, port)).await.ok()?;
    let certificate = controller.ca().certificate(&identity("client"));
    let tls = TlsStream::connect(tcp, &certificate, &[identity("waypoint")], MUCH).await.ok()?;
    let request = ConnectRequest::new(Target::from(SocketAddr::new(VIP, 80)));
    let (stream, _) = mesh_hbone::connect_unpooled(tls, &Settings::default(), &request).await.ok()?;
    send(stream, Method::GET, "/").await
}

/// Asks until the answer is as expected.
async fn until<F: Future<Output = Option<(u16, String)>>>(
    what: &str,
    expected: (u16, &str),
    ask: impl Fn() -> F,
) {
    let begin = Instant::now();
    loop {
        let answer = ask().await;
        if answer.as_ref().is_some_and(|(status, body)| (*status, body.as_str()) == expected) {
            return;
        }
        assert!(begin.elapsed() < MUCH, "{what}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn wp_34_a_waypoint_becomes_ready_serves_follows_changes_and_ends() {
    let controller = TestController::start("127.0.0.1:0".parse().unwrap()).unwrap();
    controller.ca().change(|behaviour| behaviour.failure = Some("switched off".to_owned()));
    let ports = Ports { hbone: free_port(), admin: free_port(), stats: free_port(), readiness: free_port() };
    let config = config(&controller, ports);
    let process = std::thread::spawn(move || waypoint::run(config));

    let not_ready = (500, "not ready, pending: certificate\n");
    until("not ready", not_ready, || asked(ports.readiness, Method::GET, "/healthz/ready")).await;
    controller.ca().change(|behaviour| behaviour.failure = None);
    controller.publish(&workload("waypoint", SocketAddr::new(WAYPOINT, 0)));
    controller.publish(&workload("client", "127.0.0.1:0".parse().unwrap()));
    let own = WaypointConfig {
        key: WaypointKey::new("shop", "waypoint"),
        security: Security::default(),
        authorization_services: Vec::new(),
        telemetry: Default::default(),
        forward_client_identity: false,
        rate_limits: Vec::new(),
    };
    controller.publish(&own);
    controller.publish(&service());
    let elsewhere = ServiceConfig { key: NamespacedHostname::new("other", "x.y"), ..teapot() };
    controller.publish(&elsewhere);
    until("ready", (200, "ready\n"), || asked(ports.readiness, Method::GET, "/healthz/ready")).await;

    until("no endpoint", (503, "no healthy upstream"), || called(&controller, ports.hbone)).await;
    controller.publish(&workload("reviews", application().await));
    until("an endpoint", (200, "hello"), || called(&controller, ports.hbone)).await;
    controller.publish(&teapot());
    until("a rule", (418, "short and stout"), || called(&controller, ports.hbone)).await;
    controller.remove(&teapot());
    until("no rule", (200, "hello"), || called(&controller, ports.hbone)).await;

    assert!(
        controller.peers()[0].starts_with("waypoint~127.78.0.1~waypoint.shop~"),
        "{:?}",
        controller.peers()
    );
    let (_, dump) = asked(ports.admin, Method::GET, "/config_dump").await.unwrap();
    let dump: serde_json::Value = serde_json::from_str(&dump).unwrap();
    assert_eq!(dump["services"][0]["service"], "shop/reviews.shop.svc.cluster.local");
    assert_eq!(dump["certificates"][0]["identity"], "spiffe://cluster.local/ns/shop/sa/waypoint");
    let (_, metrics) = asked(ports.stats, Method::GET, "/stats/prometheus").await.unwrap();
    assert!(metrics.contains("istio_requests_total{reporter=\"waypoint\""), "{metrics}");

    assert_eq!(asked(ports.admin, Method::POST, "/quitquitquit").await.unwrap().0, 200);
    let begin = Instant::now();
    while !process.is_finished() {
        assert!(begin.elapsed() < MUCH, "it ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    process.join().unwrap().unwrap();
    assert!(TcpStream::connect((WAYPOINT, ports.hbone)).await.is_err());
}
