//! What a request's report counts.

use mesh_model::{CodeTest, Comparison, Identity, LogEncoding, LogFilter};

use super::*;
use crate::labels::tests::workload;
use crate::{Registry, TraceParent};

fn source() -> Arc<RequestSource> {
    let client = Party {
        workload: Some(workload("client")),
        identity: Some(Identity::new("cluster.local", "prod", "client")),
    };
    Arc::new(RequestSource::new(&client, Security::MutualTls))
}

fn service() -> Option<ServiceRef> {
    Some(ServiceRef { key: "prod/web.prod.svc.cluster.local".parse().unwrap() })
}

#[test]
fn tel_04_requests_have_the_exact_labels_in_order() {
    let registry = Registry::new("proxy", "0");
    let metrics = HttpMetrics::new(&registry);
    let mut report = RequestReport::open(&metrics, &source(), service(), false);
    report.set_destination(&Party::from(&workload("web")));
    report.close(RequestEnd {
        code: 200,
        grpc_status: Some(3),
        received: 11,
        sent: 700,
        ..RequestEnd::default()
    });
    let page = registry.encode();
    let labels = "reporter=\"waypoint\",source_workload=\"client\",source_canonical_service=\"client\",\
         source_canonical_revision=\"v1\",source_workload_namespace=\"prod\",\
         source_principal=\"spiffe://cluster.local/ns/prod/sa/client\",source_app=\"client\",source_version=\"v1\",\
         source_cluster=\"Kubernetes\",destination_workload=\"web\",destination_workload_namespace=\"prod\",\
         destination_principal=\"unknown\",destination_app=\"web\",destination_version=\"v1\",\
         destination_service=\"web.prod.svc.cluster.local\",destination_canonical_service=\"web\",\
         destination_canonical_revision=\"v1\",destination_service_name=\"web\",destination_service_namespace=\"prod\",\
         destination_cluster=\"Kubernetes\",request_protocol=\"http\",response_code=\"200\",grpc_response_status=\"\",\
         response_flags=\"-\",connection_security_policy=\"mutual_tls\"}";
    for line in [
        format!("istio_requests_total{{{labels} 1"),
        format!("istio_request_bytes_sum{{{labels} 11.0"),
        format!("istio_request_bytes_bucket{{le=\"10.0\",{labels} 0"),
        format!("istio_request_bytes_bucket{{le=\"25.0\",{labels} 1"),
        format!("istio_response_bytes_bucket{{le=\"500.0\",{labels} 0"),
        format!("istio_response_bytes_bucket{{le=\"1000.0\",{labels} 1"),
        format!("istio_response_bytes_bucket{{le=\"+Inf\",{labels} 1"),
        format!("istio_request_duration_milliseconds_count{{{labels} 1"),
    ] {
        assert!(page.lines().any(|known| known == line), "{line}\n{page}");
    }
    let buckets = page.lines().filter(|line| line.starts_with("istio_request_duration_milliseconds_bucket"));
    assert_eq!(buckets.count(), 20);
}

#[test]
fn what_is_not_known_is_labelled_so() {
    let registry = Registry::new("proxy", "0");
    let metrics = HttpMetrics::new(&registry);
    let nobody = Arc::new(RequestSource::new(&Party::default(), Security::None));
    let end = RequestEnd { code: 404, flags: RequestFlags::NO_ROUTE, ..RequestEnd::default() };
    RequestReport::open(&metrics, &nobody, None, false).close(end);
    let page = registry.encode();
    for label in [
        "source_principal=\"unknown\"",
        "source_canonical_revision=\"latest\"",
        "source_version=\"unknown\"",
        "destination_service=\"unknown\"",
        "response_code=\"404\"",
        "response_flags=\"NR\"",
        "connection_security_policy=\"none\"",
    ] {
        assert!(page.contains(label), "{label}\n{page}");
    }
}

#[test]
fn a_grpc_request_has_a_status_that_grpc_knows() {
    let registry = Registry::new("proxy", "0");
    let metrics = HttpMetrics::new(&registry);
    for (status, label) in [(Some(14), "14"), (Some(999), "2"), (None, "")] {
        let report = RequestReport::open(&metrics, &source(), service(), true);
        report.close(RequestEnd { code: 200, grpc_status: status, ..RequestEnd::default() });
        let page = registry.encode();
        let labels =
            format!("request_protocol=\"grpc\",response_code=\"200\",grpc_response_status=\"{label}\"");
        assert!(page.contains(&labels), "{labels}\n{page}");
    }
}

#[test]
fn a_request_that_was_never_answered_was_given_up_by_the_client() {
    let registry = Registry::new("proxy", "0");
    let metrics = HttpMetrics::new(&registry);
    drop(RequestReport::open(&metrics, &source(), service(), false));
    let page = registry.encode();
    assert!(page.contains("response_code=\"0\",grpc_response_status=\"\",response_flags=\"DC\""), "{page}");
}

#[test]
fn a_span_says_who_asked_whom_for_what_and_how_it_ended() {
    let metrics = HttpMetrics::new(&Registry::new("proxy", "0"));
    let request = http::Request::builder()
        .uri("/reviews?id=1")
        .header("host", "web")
        .header("x-request-id", "id-1")
        .header("tracestate", "a=b")
        .body(())
        .unwrap();
    let (request, ()) = request.into_parts();
    let (ids, parent) = (TraceParent::new(1, 2, true), TraceParent::new(1, 3, true));
    let (sender, receiver) = std::sync::mpsc::channel();
    let span =
        OpenSpan::new(ids, Some(parent), &request.headers, "web:80/*".into(), Vec::new(), move |span| {
            sender.send(span).unwrap();
        });
    let mut report = RequestReport::open(&metrics, &source(), service(), false);
    report.describe(RequestDetails::of(&request));
    report.trace_as(span);
    report.set_destination(&Party::from(&workload("web")));
    report.close(RequestEnd {
        code: 503,
        received: 11,
        sent: 22,
        grpc_status: Some(0),
        ..RequestEnd::default()
    });
    let span = receiver.recv().unwrap();
    assert_eq!((span.ids, span.parent, span.trace_state.as_str()), (ids, Some(3), "a=b"));
    assert!(span.failed);
    let tag = |name: &str| span.tags.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    for (name, value) in [
        ("component", "proxy"),
        ("guid:x-request-id", "id-1"),
        ("http.url", "http://web/reviews?id=1"),
        ("http.method", "GET"),
        ("http.status_code", "503"),
        ("request_size", "11"),
        ("response_size", "22"),
        ("error", "true"),
        ("istio.source_workload", "client"),
        ("istio.source_namespace", "prod"),
        ("istio.destination_canonical_service", "web"),
        ("istio.destination_app_version", "v1"),
    ] {
        assert_eq!(tag(name), Some(value), "{name}");
    }
    assert_eq!(tag("grpc.status_code"), None);
}

#[test]
fn only_requests_that_a_filter_includes_are_logged() {
    let test = CodeTest { comparison: Comparison::AtLeast, code: 400 };
    let log = AccessLog { encoding: LogEncoding::Text, filter: LogFilter { any_of: vec![vec![test]] } };
    let log = Arc::new(log);
    let metrics = HttpMetrics::new(&Registry::new("proxy", "0"));
    let lines = crate::connection::tests::logged(|| {
        for (code, path) in [(200, "/fine"), (404, "/missing")] {
            let (request, ()) = http::Request::builder().uri(path).body(()).unwrap().into_parts();
            let mut report = RequestReport::open(&metrics, &source(), service(), false);
            report.describe(RequestDetails::of(&request));
            report.log_as(log.clone());
            report.close(RequestEnd { code, ..RequestEnd::default() });
        }
    });
    assert!(lines.contains("/missing") && !lines.contains("/fine"), "{lines}");
}
