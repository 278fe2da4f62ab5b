//! Against a real Redis, which each test starts for itself on a loopback port.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mesh_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use mesh_proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::{Entry, RateLimitOverride};
use mesh_proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use mesh_proto::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use mesh_proto::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use mesh_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use mesh_proto::envoy::r#type::v3::RateLimitUnit;
use ratelimit::{Counts, LimitFiles, LimitService};
use tonic::transport::{Endpoint, Server};
use tonic::{Code as GrpcCode, Request, Status};

const LIMITS: &str = "
domain: shop
descriptors:
  - { key: plan, value: free, rate_limit: { name: free, unit: day, requests_per_unit: 2 } }
  - { key: plan, rate_limit: { unit: day, requests_per_unit: 1 } }
  - { key: plan, value: paid, rate_limit: { unlimited: true } }
  - { key: seen, shadow_mode: true, rate_limit: { unit: day, requests_per_unit: 0 } }
";

/// A Redis of the test's own; gone with its value.
struct Redis {
    server: Child,
    port: u16,
}

impl Redis {
    async fn start(port: u16) -> Redis {
        let server = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed; install the Debian package of that name");
        let redis = Redis { server, port };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        eventually(async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
        redis
    }

    fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks until it is so; the test's own time limit is that of whoever runs it.
async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    while !is_so().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn service(redis: &str) -> (LimitService, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), LIMITS).unwrap();
    let limits = LimitFiles::open(Some(file.path().to_owned())).unwrap();
    (LimitService::new(limits, Counts::open(redis).unwrap()), file)
}

fn descriptor(key: &str, value: &str) -> RateLimitDescriptor {
    RateLimitDescriptor { entries: vec![Entry { key: key.into(), value: value.into() }], limit: None }
}

fn question(descriptors: Vec<RateLimitDescriptor>) -> RateLimitRequest {
    RateLimitRequest { domain: "shop".into(), descriptors, hits_addend: 0 }
}

async fn ask(
    service: &LimitService,
    descriptors: Vec<RateLimitDescriptor>,
) -> Result<RateLimitResponse, Status> {
    let answer = service.should_rate_limit(Request::new(question(descriptors))).await;
    answer.map(tonic::Response::into_inner)
}

/// Whether one descriptor is within its limit, and what remains.
async fn one(service: &LimitService, descriptor: RateLimitDescriptor) -> (Code, u32) {
    let answer = ask(service, vec![descriptor]).await.unwrap();
    assert_eq!(answer.overall_code(), answer.statuses[0].code());
    (answer.overall_code(), answer.statuses[0].limit_remaining)
}

/// How many descriptors of the domain came out like this.
fn decided(service: &LimitService, result: &str) -> u64 {
    let begin = format!("adit_rate_limiter_decisions_total{{domain=\"shop\",result=\"{result}\"}} ");
    let page = service.metrics().encode();
    page.lines().find_map(|line| line.strip_prefix(&begin)?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn res_counts_are_shared_by_all_who_count_and_kept_apart_by_descriptor() {
    let redis = Redis::start(free_port()).await;
    let (first, _file) = service(&redis.address());
    let (second, _other) = service(&redis.address());
    assert_eq!(one(&first, descriptor("plan", "free")).await, (Code::Ok, 1));
    assert_eq!(one(&second, descriptor("plan", "free")).await, (Code::Ok, 0));
    assert_eq!(one(&first, descriptor("plan", "free")).await, (Code::OverLimit, 0));
    for value in ["a", "b"] {
        assert_eq!(one(&first, descriptor("plan", value)).await, (Code::Ok, 0), "{value}");
        assert_eq!(one(&second, descriptor("plan", value)).await, (Code::OverLimit, 0), "{value}");
    }
    assert_eq!(one(&first, descriptor("plan", "paid")).await, (Code::Ok, u32::MAX));
    assert_eq!(one(&first, descriptor("seen", "x")).await.0, Code::Ok, "a shadow");
    assert_eq!(one(&first, descriptor("other", "x")).await.0, Code::Ok, "no limit");
    for (result, number) in [("within", 3), ("over_limit", 1), ("shadowed", 1), ("unlimited", 2)] {
        assert_eq!(decided(&first, result), number, "{result}");
    }
}

#[tokio::test]
async fn res_an_answer_says_where_each_descriptor_stands() {
    let redis = Redis::start(free_port()).await;
    let (service, _file) = service(&redis.address());
    let mut brought = descriptor("user", "ann");
    brought.limit = Some(RateLimitOverride { requests_per_unit: 5, unit: RateLimitUnit::Hour.into() });
    let all = vec![descriptor("other", "x"), descriptor("plan", "free"), brought];
    let mut asked = question(all);
    asked.hits_addend = 3;
    let answer = service.should_rate_limit(Request::new(asked)).await.unwrap().into_inner();
    assert_eq!(answer.overall_code(), Code::OverLimit);
    let codes: Vec<_> = answer.statuses.iter().map(|status| status.code()).collect();
    assert_eq!(codes, [Code::Ok, Code::OverLimit, Code::Ok]);
    let free = answer.statuses[1].current_limit.as_ref().unwrap();
    assert_eq!((free.name.as_str(), free.requests_per_unit), ("free", 2));
    assert_eq!(answer.statuses[2].limit_remaining, 2);
    let reset = answer.statuses[2].duration_until_reset.unwrap().seconds;
    assert!((1..=3600).contains(&reset), "{reset}");
}

#[tokio::test]
async fn res_without_redis_nothing_is_answered_and_it_is_found_again() {
    let port = free_port();
    let (service, _file) = service(&format!("redis://127.0.0.1:{port}"));
    let refused = ask(&service, vec![descriptor("plan", "free")]).await.unwrap_err();
    assert_eq!(refused.code(), GrpcCode::Unavailable);
    assert!(refused.message().starts_with("the counts cannot be reached"), "{refused}");
    assert_eq!(decided(&service, "error"), 1);
    let failures = "adit_rate_limiter_redis_errors_total{";
    assert!(service.metrics().encode().contains(failures));
    let answered = async || ask(&service, vec![descriptor("plan", "free")]).await.is_ok();
    let redis = Redis::start(port).await;
    eventually(answered).await;
    drop(redis);
    eventually(async || !answered().await).await;
    let _redis = Redis::start(port).await;
    eventually(answered).await;
    let unlimited = ask(&service, vec![descriptor("plan", "paid")]).await;
    assert!(unlimited.is_ok());
}

#[tokio::test]
async fn res_it_is_asked_by_grpc() {
    let redis = Redis::start(free_port()).await;
    let (service, _file) = service(&redis.address());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = Server::builder().add_service(RateLimitServiceServer::new(service));
    tokio::spawn(server.serve_with_incoming(incoming));
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = RateLimitServiceClient::new(channel);
    let answer = client.should_rate_limit(question(vec![descriptor("plan", "free")])).await.unwrap();
    assert_eq!(answer.get_ref().overall_code(), Code::Ok);
    let broken = client.should_rate_limit(question(vec![])).await.unwrap_err();
    assert_eq!(broken.code(), GrpcCode::InvalidArgument);
}
