//! Spans on their way to whoever collects them, and what backends are told of traces.

use std::net::SocketAddr;
use std::time::Duration;

use http::Response;
use http_body_util::{BodyExt, Full};
use mesh_model::{
    NamedSource, PerMillion, ServiceConfig, TagSource, Telemetry, TraceCollector, TraceHeaders,
    TraceProtocol, Tracing,
};
use mesh_proto::opentelemetry::collector::trace::v1 as otlp;
use mesh_runtime::drain::{Drained, Mode};
use prost::Message;
use tokio::sync::mpsc;

use super::backend::{Act, Backend, Seen};
use super::client::{request, with};
use super::mesh::{Mesh, REVIEWS};
use super::samples::{config, key};

const MUCH: Duration = Duration::from_secs(20);
/// Whoever collects is a service of its own.
const COLLECTOR: &str = "collector";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// Collects what it is sent.
struct Collector(mpsc::UnboundedReceiver<Seen>);

impl Collector {
    async fn start(mesh: &Mesh) -> Collector {
        let (sender, receiver) = mpsc::unbounded_channel();
        mesh.add_service(COLLECTOR, 9);
        let server = Backend::start(mesh.free_ip(), move |_, seen| {
            // Fails only when the test is over.
            let _ = sender.send(seen.clone());
            let response = Response::builder().header("content-type", "application/grpc");
            Act::Answer(response.header("grpc-status", "0").body(Full::default().boxed()).unwrap())
        })
        .await;
        mesh.add(mesh.endpoint("collector-1", COLLECTOR, server.address));
        Collector(receiver)
    }

    /// The next batch.
    async fn next(&mut self) -> Seen {
        tokio::time::timeout(MUCH, self.0.recv()).await.expect("a batch arrives").unwrap()
    }
}

fn tracing_to(port: u16, protocol: TraceProtocol) -> Tracing {
    Tracing {
        collector: TraceCollector {
            service: key(COLLECTOR),
            port,
            timeout: Duration::from_secs(5),
            headers: vec![("x-key".into(), "secret".into())],
            protocol,
        },
        sampled: PerMillion(0),
        reported: true,
        propagated: true,
        own_tags: true,
        tags: [].into(),
        headers: TraceHeaders::W3c,
    }
}

fn by_grpc() -> Tracing {
    tracing_to(7070, TraceProtocol::OtlpGrpc)
}

fn traced(tracing: Tracing) -> Telemetry {
    Telemetry { tracing: Some(tracing), ..Telemetry::default() }
}

fn spans(bytes: &[u8]) -> (String, Vec<otlp::Span>) {
    let mut request = otlp::ExportTraceServiceRequest::decode(bytes).unwrap();
    let mut resource = request.resource_spans.remove(0);
    let service = text(&resource.resource.take().unwrap().attributes, "service.name").unwrap();
    (service, resource.scope_spans.remove(0).spans)
}

fn text(attributes: &[otlp::KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    let otlp::any_value::Value::StringValue(text) = found.value.clone()?.value?;
    Some(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sampled() -> String {
    format!("00-{TRACE}-{SPAN}-01")
}

#[tokio::test]
async fn tel_20_a_span_belongs_to_the_clients_trace_and_the_backend_to_the_span() {
    let mesh = Mesh::start().await;
    let backend = mesh.echo("v1").await;
    let mut collector = Collector::start(&mesh).await;
    let header = NamedSource { name: "x-team".into(), default: Some("nobody".into()) };
    let variable = NamedSource { name: "ADIT_NO_SUCH_VARIABLE".into(), default: Some("default".into()) };
    let tags = [
        ("literal".into(), TagSource::Literal("text".into())),
        ("team".into(), TagSource::Header(header)),
        ("variable".into(), TagSource::Environment(variable)),
    ];
    mesh.report(traced(Tracing { tags: tags.into(), ..by_grpc() }));
    let asked = with(with(request("GET", "/a?b"), "traceparent", &sampled()), "tracestate", "v=1");
    assert_eq!(mesh.http1(80).await.send(with(asked, "x-team", "blue")).await.status, 200);

    let batch = collector.next().await;
    assert_eq!(batch.path(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    assert_eq!(
        (batch.header("content-type"), batch.header("x-key")),
        (Some("application/grpc"), Some("secret"))
    );
    let (service, spans) = spans(&batch.body[5..]);
    assert_eq!((service.as_str(), spans.len()), ("waypoint.shop", 1));
    let span = &spans[0];
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.to_owned(), SPAN.to_owned()));
    assert_eq!(span.name, "reviews.shop.svc.cluster.local:80/*");
    assert_eq!((span.kind(), span.trace_state.as_str()), (otlp::SpanKind::Server, "v=1"));
    assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    assert_eq!(span.status.clone().unwrap().code(), otlp::StatusCode::Unset);
    for (name, value) in [
        ("http.url", "http://reviews/a?b"),
        ("http.status_code", "200"),
        ("node_id", "waypoint~test"),
        ("upstream_cluster.name", "inbound-vip|80|http|reviews.shop.svc.cluster.local"),
        ("istio.mesh_id", "cluster.local"),
        ("istio.source_workload", "client"),
        ("istio.destination_workload", "v1"),
        ("literal", "text"),
        ("team", "blue"),
        ("variable", "default"),
    ] {
        assert_eq!(text(&span.attributes, name).as_deref(), Some(value), "{name}");
    }
    let seen = backend.only();
    assert_eq!(text(&span.attributes, "guid:x-request-id").as_deref(), seen.header("x-request-id"));
    let told = format!("00-{TRACE}-{}-01", hex(&span.span_id));
    assert_eq!((seen.header("traceparent"), seen.header("tracestate")), (Some(told.as_str()), Some("v=1")));
}

#[tokio::test]
async fn tel_20_spans_by_http_and_for_zipkin() {
    let mesh = Mesh::start().await;
    let backend = mesh.backend("v1", |_, _| Act::text(503, "ill")).await;
    let mut collector = Collector::start(&mesh).await;
    mesh.report(traced(tracing_to(80, TraceProtocol::OtlpHttp { path: "/otlp".into() })));
    mesh.http1(80).await.send(with(request("GET", "/"), "traceparent", &sampled())).await;
    let batch = collector.next().await;
    assert_eq!((batch.path(), batch.header("content-type")), ("/otlp", Some("application/x-protobuf")));
    let (_, spans) = spans(&batch.body);
    assert_eq!(spans[0].status.clone().unwrap().code(), otlp::StatusCode::Error);

    let zipkin = TraceProtocol::Zipkin { path: "/api/v2/spans".into(), short_ids: true };
    let tracing = Tracing { sampled: PerMillion::ALL, headers: TraceHeaders::B3, ..tracing_to(80, zipkin) };
    mesh.report(traced(tracing));
    let single = format!("{TRACE}-{SPAN}-1");
    mesh.http1(80).await.send(with(request("GET", "/"), "b3", &single)).await;
    let batch = collector.next().await;
    assert_eq!((batch.path(), batch.header("content-type")), ("/api/v2/spans", Some("application/json")));
    let json: serde_json::Value = serde_json::from_slice(&batch.body).unwrap();
    let span = &json[0];
    for (field, value) in [("traceId", TRACE), ("parentId", SPAN), ("kind", "SERVER")] {
        assert_eq!(span[field], value, "{field}");
    }
    assert_eq!(span["localEndpoint"]["serviceName"], "waypoint.shop");
    assert_eq!(span["tags"]["error"], "true");
    let own = span["id"].as_str().unwrap();
    let told = &backend.seen()[1];
    assert_eq!(told.header("b3"), Some(format!("{TRACE}-{own}-1-{SPAN}").as_str()));
    assert_eq!(told.header("traceparent"), None);

    mesh.http1(80).await.get("/").await;
    let batch = collector.next().await;
    let json: serde_json::Value = serde_json::from_slice(&batch.body).unwrap();
    assert_eq!((json[0]["traceId"].as_str().unwrap().len(), json[0].get("parentId")), (16, None));
    let told = &backend.seen()[2];
    assert_eq!(told.header("x-b3-traceid"), json[0]["traceId"].as_str());
    assert_eq!(
        (told.header("x-b3-spanid"), told.header("x-b3-sampled")),
        (json[0]["id"].as_str(), Some("1"))
    );
}

#[tokio::test]
async fn what_is_not_sampled_has_no_span_and_backends_know() {
    let mesh = Mesh::start().await;
    let backend = mesh.echo("v1").await;
    let mut collector = Collector::start(&mesh).await;
    mesh.report(traced(by_grpc()));
    let mut client = mesh.http1(80).await;
    client.get("/unsampled").await;
    let decided = format!("00-{TRACE}-{SPAN}-00");
    client.send(with(request("GET", "/decided"), "traceparent", &decided)).await;
    client.send(with(request("GET", "/refused"), "b3", "0")).await;
    mesh.report(traced(Tracing { reported: false, ..by_grpc() }));
    client.send(with(request("GET", "/not-reported"), "traceparent", &sampled())).await;
    mesh.report(traced(Tracing { propagated: false, ..by_grpc() }));
    client.send(with(request("GET", "/sampled"), "traceparent", &sampled())).await;

    let (_, spans) = spans(&collector.next().await.body[5..]);
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!(text(&spans[0].attributes, "http.url").as_deref(), Some("http://reviews/sampled"));
    let told: Vec<Option<String>> =
        backend.seen().iter().map(|seen| seen.header("traceparent").map(str::to_owned)).collect();
    assert!(told[0].as_ref().unwrap().ends_with("-00"), "{told:?}");
    assert_eq!(told[1..], [Some(decided), None, Some(sampled()), Some(sampled())]);
    assert_eq!(backend.seen()[2].header("b3"), Some("0"));
}

#[tokio::test]
async fn without_tracing_headers_pass_as_they_are() {
    let mesh = Mesh::start().await;
    let backend = mesh.echo("v1").await;
    let mut client = mesh.http1(80).await;
    client.get("/").await;
    client.send(with(request("GET", "/"), "traceparent", "nonsense")).await;
    let told: Vec<Seen> = backend.seen();
    assert_eq!((told[0].header("traceparent"), told[0].header("x-b3-traceid")), (None, None));
    assert_eq!(told[1].header("traceparent"), Some("nonsense"));
}

#[tokio::test]
async fn a_service_may_be_traced_in_another_way_than_its_waypoint() {
    let mesh = Mesh::start().await;
    let backend = mesh.echo("v1").await;
    let mut collector = Collector::start(&mesh).await;
    mesh.report(traced(Tracing { sampled: PerMillion::ALL, ..by_grpc() }));
    let off =
        ServiceConfig { ports: [].into(), telemetry: Some(Telemetry::default()), ..config(REVIEWS, vec![]) };
    mesh.configure(off.clone());
    mesh.http1(80).await.get("/untraced").await;
    assert_eq!(backend.only().header("traceparent"), None);
    mesh.configure(ServiceConfig { telemetry: None, ..off });
    mesh.http1(80).await.get("/traced").await;
    let (_, spans) = spans(&collector.next().await.body[5..]);
    assert_eq!(spans.len(), 1);
    assert_eq!(text(&spans[0].attributes, "http.url").as_deref(), Some("http://reviews/traced"));
}

#[tokio::test]
async fn a_collector_that_is_down_harms_nobody_and_is_counted() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    mesh.add_service(COLLECTOR, 9);
    mesh.add(mesh.endpoint("gone", COLLECTOR, SocketAddr::new(mesh.free_ip(), 9)));
    mesh.report(traced(Tracing { sampled: PerMillion::ALL, ..by_grpc() }));
    let mut client = mesh.http1(80).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.status, 200);
    }
    drop(client);
    let Mesh { drain, registry, .. } = mesh;
    assert_eq!(drain.unwrap().start(Mode::Graceful, MUCH).await, Drained::Complete);
    let metrics = registry.encode();
    assert!(metrics.contains("istio_trace_spans_dropped_total{reason=\"collector\"} 3\n"), "{metrics}");
}

#[tokio::test]
async fn up_06_spans_that_wait_are_sent_before_a_waypoint_ends() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let mut collector = Collector::start(&mesh).await;
    mesh.report(traced(Tracing { sampled: PerMillion::ALL, ..by_grpc() }));
    let mut client = mesh.http1(80).await;
    client.get("/").await;
    drop(client);
    let Mesh { drain, registry, .. } = mesh;
    assert_eq!(drain.unwrap().start(Mode::Graceful, MUCH).await, Drained::Complete);
    let metrics = registry.encode();
    assert!(metrics.contains("istio_trace_spans_exported_total 1\n"), "{metrics}");
    assert_eq!(spans(&collector.next().await.body[5..]).1.len(), 1);
}
