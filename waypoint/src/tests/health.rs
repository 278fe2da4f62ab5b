//! Endpoints are asked how they are: who is not well gets no requests, and who is well again gets them again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use mesh_model::{
    HealthCheck, HttpProbe, Probe, ServiceConfig, StatusRange, TrafficPolicy, Uid, UpstreamVersion,
};
use mesh_proto::grpc::health::v1 as proto;
use prost::Message;
use tokio::net::TcpListener;

use super::backend::{Act, Backend, Seen, TestBody};
use super::mesh::{Mesh, REVIEWS, eventually};
use super::samples::{backend, config, rule, workload};
use crate::health::Health;

const CHECKED: &str = "/healthz";

fn http(port: u16) -> HealthCheck {
    let good = vec![StatusRange { first: 200, last: 299 }];
    let (path, host, method) = (CHECKED.into(), "health.example".into(), "GET".into());
    by(port, Probe::Http(HttpProbe { path, host, method, expected: good }))
}

fn by(port: u16, probe: Probe) -> HealthCheck {
    HealthCheck {
        interval: Duration::from_millis(5),
        timeout: Duration::from_secs(5),
        healthy_threshold: 2,
        unhealthy_threshold: 3,
        panic_percent: 0,
        port,
        probe,
    }
}

fn checked(check: HealthCheck) -> ServiceConfig {
    let rules = vec![rule("only", vec![backend(REVIEWS, 80)])];
    ServiceConfig { health_check: Some(check), ..config(REVIEWS, rules) }
}

/// A backend that answers requests with its name, and checks with the status it is told.
struct Ward {
    backend: Backend,
    says: Arc<AtomicU16>,
}

impl Ward {
    async fn start(mesh: &Mesh, name: &str) -> Ward {
        let says = Arc::new(AtomicU16::new(200));
        let (status, text) = (says.clone(), name.to_owned());
        let script = move |_, seen: &Seen| match seen.path() {
            CHECKED => Act::text(status.load(Ordering::Relaxed), ""),
            _ => Act::text(200, &text),
        };
        Ward { backend: mesh.backend(name, script).await, says }
    }

    fn says(&self, status: u16) {
        self.says.store(status, Ordering::Relaxed);
    }

    fn checks(&self) -> Vec<Seen> {
        self.backend.seen().into_iter().filter(|seen| seen.path() == CHECKED).collect()
    }

    async fn is_asked(&self, more: usize) {
        let before = self.checks().len();
        eventually(async || self.checks().len() >= before + more).await;
    }
}

/// How the endpoints are, by name.
fn health(mesh: &Mesh) -> Vec<(String, Health)> {
    let name = |uid: &Uid| uid.0.rsplit('/').next().unwrap().to_owned();
    mesh.charts.list().iter().map(|it| (name(&it.workload), it.health)).collect()
}

async fn becomes(mesh: &Mesh, name: &str, wanted: Health) {
    eventually(async || health(mesh).iter().any(|(known, it)| known == name && *it == wanted)).await;
}

/// Who answers, of 30 times.
async fn answers(mesh: &Mesh) -> Vec<String> {
    let mut client = mesh.http1(80).await;
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..30 {
        let reply = client.get("/").await;
        names.insert(if reply.status == 200 { reply.body } else { reply.status.to_string() });
    }
    names.into_iter().collect()
}

#[tokio::test]
async fn who_answers_checks_badly_is_taken_out_and_comes_back() {
    let mesh = Mesh::start().await;
    let (one, two) = (Ward::start(&mesh, "one").await, Ward::start(&mesh, "two").await);
    mesh.configure(checked(http(80)));
    becomes(&mesh, "one", Health::Healthy).await;
    becomes(&mesh, "two", Health::Healthy).await;
    assert_eq!(answers(&mesh).await, ["one", "two"]);
    one.says(500);
    becomes(&mesh, "one", Health::Unhealthy).await;
    assert_eq!(answers(&mesh).await, ["two"]);
    let complaint = mesh.charts.list().into_iter().find_map(|it| it.complaint);
    assert_eq!(complaint.as_deref(), Some("it answers with status 500"));
    let labels = "destination_service_namespace=\"shop\",health=\"unhealthy\"";
    let counted = mesh.metric("istio_health_check_endpoints", &[labels]);
    assert!(counted[0].ends_with(" 1"), "{counted:?}");
    one.says(204);
    becomes(&mesh, "one", Health::Healthy).await;
    assert_eq!(answers(&mesh).await, ["one", "two"]);
    let check = two.checks()[0].clone();
    assert_eq!((check.host(), check.header("user-agent")), ("health.example", Some("adit-health-check")));
}

#[tokio::test]
async fn checks_go_by_hbone_as_the_waypoint_where_endpoints_take_it() {
    let mesh = Mesh::start().await;
    let server = Backend::start(mesh.free_ip(), |_, _| Act::text(503, "")).await;
    let node = mesh.captured(mesh.endpoint("captured", REVIEWS, server.address)).await;
    mesh.configure(checked(http(80)));
    becomes(&mesh, "captured", Health::Unhealthy).await;
    let (who, target) = node.asked.lock().unwrap()[0].clone();
    assert_eq!(who, workload("waypoint", mesh.waypoint_ip()).identity());
    assert_eq!(target, server.address.into());
}

#[tokio::test]
async fn checks_speak_http_2_where_the_port_or_the_policy_does() {
    for (port, version) in [(85, UpstreamVersion::AsDeclared), (80, UpstreamVersion::Http2)] {
        let mesh = Mesh::start().await;
        let one = Ward::start(&mesh, "one").await;
        let policy = TrafficPolicy { http_version: version, ..TrafficPolicy::default() };
        mesh.configure(ServiceConfig { traffic: [(0, policy)].into(), ..checked(http(port)) });
        becomes(&mesh, "one", Health::Healthy).await;
        let check = one.checks()[0].clone();
        assert_eq!((check.version, check.host()), (http::Version::HTTP_2, "health.example"));
    }
}

#[tokio::test]
async fn tcp_checks_want_a_connection_that_opens() {
    let mesh = Mesh::start().await;
    let open = mesh.echo("open").await;
    let nobody = SocketAddr::new(mesh.free_ip(), 9);
    mesh.add(mesh.endpoint("closed", REVIEWS, nobody));
    mesh.configure(checked(by(80, Probe::Tcp)));
    becomes(&mesh, "open", Health::Healthy).await;
    becomes(&mesh, "closed", Health::Unhealthy).await;
    assert_eq!(answers(&mesh).await, ["open"]);
    assert_eq!(open.seen().len(), 30, "nothing is asked by such a check");
}

/// The answer of a server that speaks gRPC's health checking protocol.
fn serving(status: i32) -> Response<TestBody> {
    let message = proto::HealthCheckResponse { status }.encode_to_vec();
    let mut body = vec![0, 0, 0, 0, message.len() as u8];
    body.extend(message);
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let frames = [Frame::data(Bytes::from(body)), Frame::trailers(trailers)].map(Ok);
    Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed())
}

#[tokio::test]
async fn grpc_checks_want_a_server_that_says_it_serves() {
    let mesh = Mesh::start().await;
    let is_serving = Arc::new(AtomicBool::new(true));
    let told = is_serving.clone();
    let server = mesh
        .backend("server", move |_, _| Act::Answer(serving(if told.load(Ordering::Relaxed) { 1 } else { 2 })))
        .await;
    let unaware = mesh.backend("unaware", |_, _| Act::text(404, "")).await;
    let (service, host) = ("shop.Reviews".into(), "reviews".into());
    mesh.configure(checked(by(7070, Probe::Grpc { service, host })));
    becomes(&mesh, "server", Health::Healthy).await;
    becomes(&mesh, "unaware", Health::Unhealthy).await;
    let asked = server.seen()[0].clone();
    assert_eq!((asked.path(), asked.host()), ("/grpc.health.v1.Health/Check", "reviews"));
    let question = proto::HealthCheckRequest::decode(asked.body.slice(5..)).unwrap();
    assert_eq!(question.service, "shop.Reviews");
    is_serving.store(false, Ordering::Relaxed);
    becomes(&mesh, "server", Health::Unhealthy).await;
    let complaint = mesh.charts.list().into_iter().filter_map(|it| it.complaint);
    assert!(complaint.into_iter().any(|it| it == "it says of itself that it is NOT_SERVING"));
    assert!(!unaware.seen().is_empty());
}

#[tokio::test]
async fn where_too_few_are_well_all_are_used_unless_the_policy_says_never() {
    let mesh = Mesh::start().await;
    let (one, two) = (Ward::start(&mesh, "one").await, Ward::start(&mesh, "two").await);
    let three = Ward::start(&mesh, "three").await;
    one.says(500);
    two.says(500);
    mesh.configure(checked(HealthCheck { panic_percent: 50, ..http(80) }));
    becomes(&mesh, "one", Health::Unhealthy).await;
    becomes(&mesh, "two", Health::Unhealthy).await;
    becomes(&mesh, "three", Health::Healthy).await;
    assert_eq!(answers(&mesh).await, ["one", "three", "two"], "a third is less than half");
    mesh.configure(checked(http(80)));
    eventually(async || answers(&mesh).await == ["three"]).await;
    three.says(500);
    becomes(&mesh, "three", Health::Unhealthy).await;
    let reply = mesh.http1(80).await.get("/").await;
    assert_eq!((reply.status, reply.body.as_str()), (503, "no healthy upstream"));
    let flagged = mesh.metric("istio_requests_total", &["response_flags=\"UH\""]);
    assert_eq!(flagged.len(), 1, "{flagged:?}");
}

#[tokio::test]
async fn a_silent_endpoint_costs_only_its_own_check() {
    let mesh = Mesh::start().await;
    let one = Ward::start(&mesh, "one").await;
    let listener = TcpListener::bind((mesh.free_ip(), 0)).await.unwrap();
    mesh.add(mesh.endpoint("silent", REVIEWS, listener.local_addr().unwrap()));
    let open = Arc::new(AtomicUsize::new(0));
    let count = open.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let count = count.clone();
            tokio::spawn(async move {
                count.fetch_add(1, Ordering::SeqCst);
                let mut bytes = [0; 1024];
                while tokio::io::AsyncReadExt::read(&mut stream, &mut bytes).await.unwrap_or(0) > 0 {}
                count.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    mesh.configure(checked(http(80)));
    becomes(&mesh, "one", Health::Healthy).await;
    eventually(async || open.load(Ordering::SeqCst) == 1).await;
    for _ in 0..20 {
        one.is_asked(1).await;
        assert_eq!(open.load(Ordering::SeqCst), 1, "one at a time");
    }
    assert!(health(&mesh).contains(&("silent".to_owned(), Health::Unchecked)));
    mesh.configure(checked(HealthCheck { timeout: Duration::from_millis(10), ..http(80) }));
    becomes(&mesh, "silent", Health::Unhealthy).await;
    assert_eq!(answers(&mesh).await, ["one"]);
}

#[tokio::test]
async fn checks_end_with_the_policy_and_with_the_endpoint() {
    let mesh = Mesh::start().await;
    let (one, two) = (Ward::start(&mesh, "one").await, Ward::start(&mesh, "two").await);
    one.says(500);
    mesh.configure(checked(http(80)));
    becomes(&mesh, "one", Health::Unhealthy).await;
    becomes(&mesh, "two", Health::Healthy).await;
    mesh.writer.change(|edit| {
        edit.remove_workload(&Uid::from("Kubernetes//Pod/shop/one"));
    });
    eventually(async || health(&mesh).len() == 1).await;
    // Whoever was on its way then has arrived by the time the other one has been asked some more.
    two.is_asked(3).await;
    let before = one.checks().len();
    two.is_asked(10).await;
    assert_eq!(one.checks().len(), before);
    mesh.add(mesh.endpoint("one", REVIEWS, one.backend.address));
    becomes(&mesh, "one", Health::Unhealthy).await;
    mesh.configure(ServiceConfig { health_check: None, ..checked(http(80)) });
    assert_eq!(answers(&mesh).await, ["one", "two"], "nobody is left out from then on");
    eventually(async || health(&mesh).is_empty()).await;
    assert!(mesh.metric("istio_health_check", &["shop"]).is_empty());
    let third = Ward::start(&mesh, "three").await;
    mesh.configure(checked(http(80)));
    becomes(&mesh, "three", Health::Healthy).await;
    mesh.writer.change(|edit| {
        edit.remove_service_config(&super::samples::key(REVIEWS));
    });
    eventually(async || health(&mesh).is_empty()).await;
    assert!(!third.checks().is_empty());
}

#[tokio::test]
async fn an_answer_is_about_the_endpoint_on_all_its_ports() {
    let mesh = Mesh::start().await;
    let (one, _two) = (Ward::start(&mesh, "one").await, Ward::start(&mesh, "two").await);
    one.says(500);
    mesh.configure(ServiceConfig { ports: Default::default(), ..checked(http(80)) });
    becomes(&mesh, "one", Health::Unhealthy).await;
    let mut client = mesh.http2(85).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.body, "two");
    }
}
