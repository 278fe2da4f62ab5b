//! One waypoint with everything around it, on loopback addresses of its own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_hbone::{ConnectError, ConnectRequest, Settings as HboneSettings, Target, TlsStream, TunnelStream};
use mesh_model::{
    AppProtocol, AuthorizationService, HttpRule, Identity, PortMap, Security, ServiceConfig, Telemetry,
    TrafficPolicy, TunnelProtocol, WaypointConfig, WaypointKey, Workload,
};
use mesh_net::socket::{SocketOptions, tcp_socket_for};
use mesh_runtime::drain::{self, DrainTrigger};
use mesh_state::Writer;
use mesh_telemetry::{
    HealthMetrics, HedgeMetrics, HttpMetrics, OnDemandMetrics, OutlierMetrics, OverflowMetrics,
    RateLimitMetrics, Registry, SpanMetrics, TcpMetrics,
};
use mesh_testkit::authority::FakeCa;
use tokio::net::TcpListener;

use super::backend::{Act, Backend, NodeProxy, Seen};
use super::client::Client;
use super::samples::{backend, config, key, rule, service, workload};
use crate::balance::Groups;
use crate::config::RequestLog;
use crate::handed;
use crate::health::{Charts, Rounds};
use crate::names::Names;
use crate::rate_limits::Counters;
use crate::routes::RouteCache;
use crate::upstream::{Account, Countable, Ledger};
use crate::worker::{self, Common, Me, Settings, Worker};

/// Every test has a network of its own, for some ports are fixed.
static NETWORKS: AtomicU8 = AtomicU8::new(1);

const NETWORK_OF_TESTS: &str = "127.100.0.0/8";

/// The service most tests call, and its ports.
pub(super) const REVIEWS: &str = "reviews";
pub(super) const PORTS: [(u16, AppProtocol); 6] = [
    (80, AppProtocol::Http11),
    (81, AppProtocol::Unknown),
    (85, AppProtocol::Http2),
    (86, AppProtocol::Tcp),
    (7070, AppProtocol::Grpc),
    (7071, AppProtocol::Unknown),
];

/// A waypoint and its surroundings; gone with its value.
pub(super) struct Mesh {
    network: u8,
    hosts: AtomicU8,
    address: SocketAddr,
    /// Where connections are handed over in the open.
    pub(super) handed: SocketAddr,
    pub(super) writer: Writer,
    pub(super) ca: Arc<FakeCa>,
    pub(super) registry: Registry,
    pub(super) drain: Option<DrainTrigger>,
    ledger: Arc<Ledger>,
    /// How endpoints are that are asked.
    pub(super) charts: Arc<Charts>,
    /// What DNS says.
    pub(super) names: Arc<Mutex<HashMap<String, Vec<IpAddr>>>>,
}

fn settings() -> Settings {
    Settings {
        detection_patience: Duration::from_secs(2),
        access_log: RequestLog::AsConfigured,
        hbone: HboneSettings::default(),
        tls: Default::default(),
        // Where the backends of tests are.
        reachable: [NETWORK_OF_TESTS.parse().unwrap()].into(),
    }
}

impl Mesh {
    /// A waypoint, and a service `reviews` behind it that has no endpoints yet.
    pub(super) async fn start() -> Mesh {
        let mesh = Mesh::start_untold().await;
        mesh.secure_waypoint(Security::default());
        mesh
    }

    /// The same, but the controller has not told yet what holds for the waypoint.
    pub(super) async fn start_untold() -> Mesh {
        let network = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let me = host(network, 1);
        let (writer, reader) = mesh_state::new();
        let ca = FakeCa::new("cluster.local");
        let own = workload("waypoint", me);
        let registry = Registry::new("waypoint", "test");
        let names = Arc::new(Mutex::new(HashMap::<String, Vec<IpAddr>>::new()));
        let answers = names.clone();
        let ledger = Arc::new(Ledger::new(OverflowMetrics::new(&registry)));
        let counters = Arc::new(Counters::new(RateLimitMetrics::new(&registry)));
        let routes = RouteCache::following(&writer, counters.clone(), ledger.clone());
        let common = Common {
            me: Me {
                uid: own.uid.clone(),
                identity: own.identity(),
                ip: me,
                gateway: WaypointKey::new("shop", "waypoint"),
                node_id: "waypoint~test".to_owned(),
                cluster_id: "Kubernetes".to_owned(),
                sandwiched: false,
            },
            settings: settings(),
            reader,
            certificates: ca.store(),
            http_metrics: HttpMetrics::new(&registry),
            tcp_metrics: TcpMetrics::new(&registry),
            on_demand: OnDemandMetrics::new(&registry),
            names: Names::asking(move |host| {
                let found = answers.lock().unwrap().get(&*host).cloned();
                Box::pin(async move { found.ok_or_else(|| std::io::Error::other("no such name")) })
            }),
            ledger: ledger.clone(),
            groups: Groups::new(OutlierMetrics::new(&registry)),
            span_metrics: SpanMetrics::new(&registry),
            routes,
            hedge_metrics: HedgeMetrics::new(&registry),
            counters,
        };
        let charts = Charts::new(common.groups.clone(), HealthMetrics::new(&registry));
        tokio::spawn(Rounds::new(&common, charts.clone()).run());
        writer.change(|edit| {
            edit.insert_workload(own);
            edit.insert_workload(workload("client", host(network, 2)));
            edit.insert_service(service(REVIEWS, vip(1), me, &PORTS));
        });
        let listener = TcpListener::bind((me, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, watcher) = drain::channel();
        let worker = Arc::new(Worker::new(common, &watcher));
        let open = TcpListener::bind((me, 0)).await.unwrap();
        let handed = open.local_addr().unwrap();
        tokio::spawn(handed::accept(worker.clone(), open, watcher.clone()));
        tokio::spawn(worker::accept(worker, listener, watcher));
        let (hosts, drain) = (AtomicU8::new(10), Some(trigger));
        Mesh { network, hosts, address, handed, writer, ca, registry, drain, ledger, charts, names }
    }

    pub(super) fn waypoint_ip(&self) -> IpAddr {
        self.address.ip()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn client_ip(&self) -> IpAddr {
        host(self.network, 2)
    }

    /// An address nobody has yet.
    pub(super) fn free_ip(&self) -> IpAddr {
        host(self.network, self.hosts.fetch_add(1, Ordering::Relaxed))
    }

    /// A backend of `reviews` on all its ports.
    pub(super) async fn backend(
        &self,
        name: &str,
        script: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static,
    ) -> Backend {
        let server = Backend::start(self.free_ip(), script).await;
        self.add(self.endpoint(name, REVIEWS, server.address));
        server
    }

    /// A backend that answers 200 with its name.
    pub(super) async fn echo(&self, name: &str) -> Backend {
        let text = name.to_owned();
        self.backend(name, move |_, _| Act::text(200, &text)).await
    }

    /// A workload that backs a service with one port for all.
    pub(super) fn endpoint(&self, name: &str, of: &str, address: SocketAddr) -> Workload {
        let mut endpoint = workload(name, address.ip());
        let ports: PortMap = PORTS.iter().map(|(port, _)| (*port, address.port())).collect();
        endpoint.services.insert(key(of), ports);
        endpoint
    }

    /// The same, but behind a ztunnel of its own.
    pub(super) async fn captured(&self, mut endpoint: Workload) -> NodeProxy {
        endpoint.tunnel = TunnelProtocol::Hbone;
        let node = NodeProxy::start(endpoint.addresses[0], endpoint.identity(), &self.ca).await;
        self.add(endpoint);
        node
    }

    pub(super) fn add(&self, workload: Workload) {
        self.writer.change(|edit| edit.insert_workload(workload));
    }

    /// Another service behind the waypoint, reached by the rules of `reviews` only.
    pub(super) fn add_service(&self, name: &str, number: u8) {
        let added = service(name, vip(number), self.waypoint_ip(), &PORTS);
        self.writer.change(|edit| edit.insert_service(added));
    }

    pub(super) fn configure(&self, config: ServiceConfig) {
        self.writer.change(|edit| edit.insert_service_config(config));
    }

    /// What may be asked of `reviews`.
    pub(super) fn secure(&self, security: Security) {
        self.configure(ServiceConfig { security, ports: Default::default(), ..config(REVIEWS, vec![]) });
    }

    /// How the endpoints of `reviews` are chosen and spoken to, whatever the port.
    pub(super) fn shape(&self, policy: TrafficPolicy) {
        let traffic = [(0, policy)].into();
        self.configure(ServiceConfig { traffic, ports: Default::default(), ..config(REVIEWS, vec![]) });
    }

    /// What may be asked through the waypoint.
    pub(super) fn secure_waypoint(&self, security: Security) {
        self.writer.change(|edit| edit.insert_waypoint_config(waypoint_config(security)));
    }

    /// What holds for the waypoint, which is nothing.
    pub(super) fn waypoint_config(&self) -> WaypointConfig {
        waypoint_config(Security::default())
    }

    /// Who can be asked by policies of the waypoint or of `reviews`; the waypoint has none of its own.
    pub(super) fn let_ask(&self, services: Vec<AuthorizationService>) {
        let config =
            WaypointConfig { authorization_services: services, ..waypoint_config(Security::default()) };
        self.writer.change(|edit| edit.insert_waypoint_config(config));
    }

    /// What is told of requests for which nothing else is said.
    pub(super) fn report(&self, telemetry: Telemetry) {
        let config = WaypointConfig { telemetry, ..waypoint_config(Security::default()) };
        self.writer.change(|edit| edit.insert_waypoint_config(config));
    }

    /// Backends are told who the client is, or they are not.
    pub(super) fn forward_client_identity(&self, yes: bool) {
        let config = WaypointConfig { forward_client_identity: yes, ..waypoint_config(Security::default()) };
        self.writer.change(|edit| edit.insert_waypoint_config(config));
    }

    /// Rules that govern `reviews`.
    pub(super) fn govern(&self, rules: Vec<HttpRule>) {
        self.configure(config(REVIEWS, rules));
    }

    /// One rule that governs `reviews` and leads back to it, changed as the test needs it.
    pub(super) fn govern_by(&self, change: impl FnOnce(&mut HttpRule)) {
        let mut only = rule("only", vec![backend(REVIEWS, 80)]);
        change(&mut only);
        self.govern(vec![only]);
    }

    /// The same, with rules that govern `reviews`.
    pub(super) fn shape_and_govern(&self, policy: TrafficPolicy, rules: Vec<HttpRule>) {
        self.configure(ServiceConfig { traffic: [(0, policy)].into(), ..config(REVIEWS, rules) });
    }

    /// How much of the traffic to a port of `reviews` is on its way.
    pub(super) fn count(&self, port: u16, what: Countable) -> u32 {
        self.ledger.open(Account { service: key(REVIEWS), port, subset: None }).count(what)
    }

    /// Lines of the metrics page that begin so and have all of these in them.
    pub(super) fn metric(&self, name: &str, parts: &[&str]) -> Vec<String> {
        let page = self.registry.encode();
        let fits = |line: &&str| line.starts_with(name) && parts.iter().all(|part| line.contains(part));
        page.lines().filter(fits).map(str::to_owned).collect()
    }

    /// A tunnel as the client's ztunnel opens it.
    pub(super) async fn tunnel(&self, target: Target) -> Result<TunnelStream, ConnectError> {
        self.tunnel_as(&workload("client", self.client_ip()).identity(), target).await
    }

    pub(super) async fn tunnel_as(
        &self,
        source: &Identity,
        target: Target,
    ) -> Result<TunnelStream, ConnectError> {
        let options = SocketOptions::plain();
        let socket = tcp_socket_for(self.address, Some(self.client_ip()), &options).unwrap();
        let tcp = socket.connect(self.address).await.unwrap();
        let waypoint = workload("waypoint", self.waypoint_ip()).identity();
        let certificate = self.ca.certificate(source);
        let settings = HboneSettings::default();
        let tls =
            TlsStream::connect(tcp, &certificate, &[waypoint], settings.handshake_timeout).await.unwrap();
        let (stream, _) = mesh_hbone::connect_unpooled(tls, &settings, &ConnectRequest::new(target)).await?;
        Ok(stream)
    }

    /// HTTP/1 to a port of `reviews`.
    pub(super) async fn http1(&self, port: u16) -> Client {
        Client::http1(self.tunnel(self.target(port)).await.unwrap()).await
    }

    /// HTTP/2 to a port of `reviews`.
    pub(super) async fn http2(&self, port: u16) -> Client {
        Client::http2(self.tunnel(self.target(port)).await.unwrap()).await
    }

    /// A port of `reviews`.
    pub(super) fn target(&self, port: u16) -> Target {
        Target::from(SocketAddr::new(vip(1), port))
    }
}

fn waypoint_config(security: Security) -> WaypointConfig {
    let key = WaypointKey::new("shop", "waypoint");
    WaypointConfig {
        key,
        security,
        authorization_services: Vec::new(),
        telemetry: Telemetry::default(),
        forward_client_identity: false,
        rate_limits: Vec::new(),
    }
}

/// The address of a service, which only rules know.
pub(super) fn vip(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 96, 0, number).into()
}

fn host(network: u8, number: u8) -> IpAddr {
    // Test runs that go on at the same time do not meet.
    let run = (std::process::id() % 100) as u8 + 100;
    Ipv4Addr::new(127, run, network, number).into()
}

/// Waits for something to become true; a test that waits for ever is broken off.
pub(super) async fn eventually(mut is: impl AsyncFnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !is().await {
        assert!(begin.elapsed() < Duration::from_secs(20), "it never came true");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
