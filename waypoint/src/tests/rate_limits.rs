//! Limits of how many requests may pass, counted by the waypoint or by a service that it asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use http::Response;
use http_body_util::{BodyExt, Full};
use mesh_model::{
    AccessLog, Counted, GlobalLimit, Identity, KeySource, LocalLimit, RateLimit, RateLimitKey, RateQuota,
    RateUnit, ServiceConfig, Telemetry, WaypointConfig,
};
use mesh_proto::envoy::config::core::v3::HeaderValue;
use mesh_proto::envoy::service::ratelimit::v3 as proto;
use prost::Message;
use proto::rate_limit_response::rate_limit::Unit;
use proto::rate_limit_response::{Code, DescriptorStatus};

use super::backend::{Act, Backend, Seen};
use super::client::{Client, Reply, request, with};
use super::mesh::{Mesh, REVIEWS};
use super::samples::{backend, config, key, prefix, rule};

const COUNTER: &str = "counter";

fn limit(requests: u32, keys: &[KeySource]) -> RateLimit {
    let key = |source: &KeySource| RateLimitKey { name: "key".into(), source: source.clone() };
    // An hour: nothing is filled again while a test runs.
    let local = LocalLimit { requests, per: Duration::from_secs(3600), burst: requests };
    RateLimit {
        name: "shop/calm/each".into(),
        target: "Service/shop/reviews".into(),
        ports: Vec::new(),
        rules: Vec::new(),
        matches: Vec::new(),
        keys: keys.iter().map(key).collect(),
        status: 429,
        shadow: false,
        counted: Counted::Local(local),
    }
}

fn global() -> GlobalLimit {
    GlobalLimit {
        service: Some((key(COUNTER), 7070)),
        timeout: Duration::from_secs(5),
        fail_closed: false,
        domain: "shop".into(),
        quota: None,
    }
}

fn asked(global: GlobalLimit) -> RateLimit {
    RateLimit { counted: Counted::Global(global), ..limit(1, &[KeySource::Method]) }
}

impl Mesh {
    fn limit(&self, rate_limits: Vec<RateLimit>) {
        let rules = vec![rule("only", vec![backend(REVIEWS, 80)])];
        self.configure(ServiceConfig { rate_limits, ..config(REVIEWS, rules) });
    }

    fn limit_waypoint(&self, rate_limits: Vec<RateLimit>) {
        let config = self.waypoint_config();
        self.writer.change(|edit| edit.insert_waypoint_config(WaypointConfig { rate_limits, ..config }));
    }

    /// Somebody who counts as the script says.
    async fn counter(
        &self,
        script: impl Fn(&proto::RateLimitRequest) -> Act + Send + Sync + 'static,
    ) -> Backend {
        self.add_service(COUNTER, 9);
        let counter = Backend::start(self.free_ip(), move |_, seen| script(&question(seen))).await;
        self.add(self.endpoint("counter-1", COUNTER, counter.address));
        counter
    }
}

fn question(seen: &Seen) -> proto::RateLimitRequest {
    assert_eq!(seen.path(), "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit");
    proto::RateLimitRequest::decode(seen.body.slice(5..)).unwrap()
}

fn answer(answer: &proto::RateLimitResponse) -> Act {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(answer.encoded_len() as u32);
    answer.encode(&mut frame).unwrap();
    let response = Response::builder().header("content-type", "application/grpc").header("grpc-status", "0");
    Act::Answer(response.body(Full::new(frame.freeze()).boxed()).unwrap())
}

fn said(code: Code) -> proto::RateLimitResponse {
    proto::RateLimitResponse { overall_code: code.into(), ..Default::default() }
}

async fn statuses(client: &mut Client, paths: &[&str]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for path in paths {
        statuses.push(client.get(path).await.status);
    }
    statuses
}

fn told(reply: &Reply) -> [&str; 3] {
    ["limit", "remaining", "reset"]
        .map(|name| reply.header(&format!("x-ratelimit-{name}")).unwrap_or("nothing"))
}

#[tokio::test]
async fn res_local_requests_beyond_the_limit_are_refused_and_clients_are_told_where_they_stand() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    mesh.limit(vec![limit(2, &[])]);
    let mut client = mesh.http1(80).await;
    let first = client.get("/").await;
    assert_eq!(first.status, 200);
    assert_eq!(told(&first), ["2, 2;w=3600;name=\"shop/calm/each\"", "1", "1800"]);
    assert_eq!(client.get("/").await.header("x-ratelimit-remaining"), Some("0"));
    let refused = client.get("/").await;
    assert_eq!((refused.status, refused.body.as_str()), (429, "local_rate_limited"));
    assert_eq!((told(&refused)[1], refused.header("x-envoy-ratelimited")), ("0", Some("true")));
    // Other connections count together with it, those of other versions too.
    assert_eq!(mesh.http2(85).await.get("/").await.status, 429);
    assert_eq!(v1.seen().len(), 2);
    let outcome = |outcome| mesh.metric("istio_rate_limit_requests_total", &[outcome]).concat();
    assert!(outcome("over_limit").ends_with(" 2") && outcome("within").ends_with(" 2"));
}

#[tokio::test]
async fn res_local_each_header_and_each_caller_has_a_bucket_of_its_own() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    mesh.limit(vec![limit(1, &[KeySource::ServiceAccount, KeySource::Header("x-user".into())])]);
    let mut client = mesh.http1(80).await;
    let of = |user: &str| with(request("GET", "/"), "x-user", user);
    for (request, expected) in [
        (of("ann"), 200),
        (of("bob"), 200),
        (of("ann"), 429),
        // Without the header they are counted together.
        (request("GET", "/a"), 200),
        (request("GET", "/b"), 429),
    ] {
        assert_eq!(client.send(request).await.status, expected);
    }
    let other = Identity::new("cluster.local", "shop", "other");
    let stream = mesh.tunnel_as(&other, mesh.target(80)).await.unwrap();
    assert_eq!(Client::http1(stream).await.send(of("ann")).await.status, 200);
}

#[tokio::test]
async fn res_local_limits_are_about_what_they_name_and_all_of_them_hold() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let mut red = rule("red", vec![backend(REVIEWS, 80)]);
    red.matches = vec![prefix("/red")];
    let rules = vec![red, rule("rest", vec![backend(REVIEWS, 80)])];
    let of_route = RateLimit { rules: vec!["red".into()], name: "shop/r/route".into(), ..limit(1, &[]) };
    let of_port = RateLimit { ports: vec![85], name: "shop/r/port".into(), ..limit(1, &[]) };
    let of_path = RateLimit { matches: vec![prefix("/x")], name: "shop/r/path".into(), ..limit(1, &[]) };
    let rate_limits = vec![of_route, of_port, of_path];
    mesh.configure(ServiceConfig { rate_limits, ..config(REVIEWS, rules) });
    let mut client = mesh.http1(80).await;
    assert_eq!(
        statuses(&mut client, &["/red", "/red", "/x", "/x", "/", "/"]).await,
        [200, 429, 200, 429, 200, 200]
    );
    assert_eq!(statuses(&mut mesh.http2(85).await, &["/", "/"]).await, [200, 429]);

    mesh.limit_waypoint(vec![RateLimit { status: 503, name: "shop/w/all".into(), ..limit(1, &[]) }]);
    assert_eq!(statuses(&mut client, &["/", "/"]).await, [200, 503]);
}

#[tokio::test]
async fn res_local_counts_go_on_when_something_else_changes() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    mesh.limit(vec![limit(2, &[])]);
    let mut client = mesh.http1(80).await;
    assert_eq!(client.get("/").await.status, 200);
    let other = RateLimit { matches: vec![prefix("/never")], name: "shop/o/n".into(), ..limit(1, &[]) };
    mesh.limit(vec![limit(2, &[]), other]);
    assert_eq!(statuses(&mut client, &["/", "/"]).await, [200, 429]);
    mesh.limit(vec![limit(3, &[])]);
    assert_eq!(client.get("/").await.status, 200, "a limit that has changed starts anew");
    mesh.limit(vec![]);
    let free = client.get("/").await;
    assert_eq!((free.status, free.header("x-ratelimit-limit")), (200, None));
}

#[tokio::test]
async fn res_a_shadow_counts_and_lets_pass_and_grpc_is_told_in_its_terms() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    mesh.limit(vec![RateLimit { shadow: true, ..limit(1, &[]) }]);
    let mut client = mesh.http1(80).await;
    assert_eq!(statuses(&mut client, &["/", "/", "/"]).await, [200, 200, 200]);
    assert_eq!(client.get("/").await.header("x-ratelimit-limit"), None);
    assert!(mesh.metric("istio_rate_limit_requests_total", &["shadowed"]).concat().ends_with(" 3"));

    mesh.limit(vec![RateLimit { name: "shop/g/each".into(), ..limit(1, &[]) }]);
    let mut client = mesh.http2(7070).await;
    let call = || with(request("POST", "/shop.Reviews/Get"), "content-type", "application/grpc");
    client.send(call()).await;
    let refused = client.send(call()).await;
    assert_eq!((refused.status, refused.header("grpc-status")), (200, Some("14")));
    assert_eq!(refused.header("x-envoy-ratelimited"), Some("true"));
}

#[tokio::test]
async fn res_global_a_service_counts_for_all_and_is_told_what_requests_have_in_common() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let counter = mesh
        .counter(|asked| {
            let user = &asked.descriptors[0].entries[1].value;
            let code = if user == "ann" { Code::Ok } else { Code::OverLimit };
            let current_limit = Some(proto::rate_limit_response::RateLimit {
                requests_per_unit: 10,
                unit: Unit::Minute.into(),
                name: "users".into(),
            });
            let duration_until_reset = Some(prost_types::Duration { seconds: 30, nanos: 0 });
            let status = DescriptorStatus {
                code: code.into(),
                current_limit,
                limit_remaining: 4,
                duration_until_reset,
            };
            let header = |key: &str| HeaderValue { key: key.into(), value: "1".into(), raw_value: vec![] };
            answer(&proto::RateLimitResponse {
                statuses: vec![status],
                request_headers_to_add: vec![header("x-counted")],
                response_headers_to_add: vec![header("x-plan")],
                raw_body: b"slow down".to_vec(),
                ..said(code)
            })
        })
        .await;
    let keys = [KeySource::Identity, KeySource::Header("x-user".into())];
    let quota = Some(RateQuota { requests: 10, unit: RateUnit::Minute });
    let counted = Counted::Global(GlobalLimit { quota, ..global() });
    mesh.limit(vec![RateLimit { counted, ..limit(1, &keys) }]);
    let mut client = mesh.http1(80).await;
    let passed = client.send(with(request("GET", "/"), "x-user", "ann")).await;
    assert_eq!((passed.status, passed.header("x-plan")), (200, Some("1")));
    assert_eq!(told(&passed), ["10, 10;w=60;name=\"users\"", "4", "30"]);
    assert_eq!(v1.only().header("x-counted"), Some("1"));
    let refused = client.get("/").await;
    assert_eq!((refused.status, refused.body.as_str()), (429, "slow down"));
    assert_eq!((refused.header("x-envoy-ratelimited"), refused.header("x-plan")), (Some("true"), Some("1")));
    assert_eq!(v1.seen().len(), 1);

    let asked = question(&counter.seen()[0]);
    assert_eq!((asked.domain.as_str(), asked.hits_addend), ("shop", 1));
    let entries: Vec<_> = asked.descriptors[0].entries.iter().map(|it| it.value.as_str()).collect();
    assert_eq!(entries, ["spiffe://cluster.local/ns/shop/sa/client", "ann"]);
    let quota = asked.descriptors[0].limit.unwrap();
    assert_eq!((quota.requests_per_unit, quota.unit), (10, 2));
    assert_eq!(question(&counter.seen()[1]).descriptors[0].entries[1].value, "-");
}

#[tokio::test]
async fn res_global_limits_of_one_service_are_one_question_and_local_ones_come_first() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let counter = mesh.counter(|_| answer(&said(Code::Ok))).await;
    let second = RateLimit { name: "shop/calm/other".into(), ..asked(global()) };
    let local = RateLimit { name: "shop/calm/local".into(), ..limit(1, &[]) };
    mesh.limit(vec![asked(global()), second, local]);
    let mut client = mesh.http1(80).await;
    assert_eq!(statuses(&mut client, &["/", "/"]).await, [200, 429]);
    assert_eq!(question(&counter.only()).descriptors.len(), 2);
}

#[tokio::test]
async fn res_global_without_an_answer_it_opens_unless_it_is_to_close() {
    let mesh = Mesh::start().await;
    let v1 = mesh.echo("v1").await;
    let turn = Arc::new(AtomicU32::new(0));
    let turns = turn.clone();
    mesh.counter(move |_| match turns.load(Ordering::SeqCst) {
        0 => Act::Hang,
        1 => Act::Reset,
        2 => Act::text(503, "ill"),
        _ => answer(&said(Code::Unknown)),
    })
    .await;
    let slow = GlobalLimit { timeout: Duration::from_millis(200), ..global() };
    let closed = GlobalLimit { fail_closed: true, ..slow.clone() };
    let nowhere = GlobalLimit { service: None, ..closed.clone() };
    let mut client = mesh.http1(80).await;
    for at in 0..4 {
        turn.store(at, Ordering::SeqCst);
        mesh.limit(vec![asked(slow.clone())]);
        assert_eq!(client.get("/").await.status, 200, "{at}");
        mesh.limit(vec![asked(closed.clone())]);
        assert_eq!(client.get("/").await.status, 500, "{at}");
    }
    mesh.limit(vec![asked(nowhere.clone())]);
    assert_eq!(client.get("/").await.status, 500);
    mesh.limit(vec![RateLimit { shadow: true, ..asked(nowhere) }]);
    assert_eq!(client.get("/").await.status, 200, "a shadow never refuses");
    assert_eq!(v1.seen().len(), 5);
    assert!(mesh.metric("istio_rate_limit_requests_total", &["\"error\""]).concat().ends_with(" 10"));
}

#[tokio::test]
async fn res_the_access_log_says_rl_and_rlse() {
    let lines = super::reports::Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let telemetry = Telemetry { access_log: Some(AccessLog::default()), ..Telemetry::default() };
    let closed = GlobalLimit { service: None, fail_closed: true, ..global() };
    let broken = RateLimit { matches: vec![prefix("/broken")], ..asked(closed) };
    let none_left = RateLimit { matches: vec![prefix("/full")], name: "shop/f/f".into(), ..limit(1, &[]) };
    mesh.report(telemetry);
    mesh.limit(vec![broken, none_left]);
    let mut client = mesh.http1(80).await;
    assert_eq!(statuses(&mut client, &["/broken", "/full", "/full", "/"]).await, [500, 200, 429, 200]);
    let text = lines.take();
    assert!(text.contains("\"GET /broken HTTP/1.1\" 500 RLSE rate_limiter_error"), "{text}");
    assert!(text.contains("\"GET /full HTTP/1.1\" 429 RL local_rate_limited"), "{text}");
}
