//! Metrics with other labels, beside those with the usual ones.

use mesh_model::Identity;

use super::*;
use crate::labels::tests::workload;
use crate::{Party, Registry, RequestEnd, RequestReport, RequestSource, Security};

fn label(name: &str, change: LabelChange) -> (Arc<str>, LabelChange) {
    (name.into(), change)
}

fn changes(settings: Vec<(RequestMetric, MetricSettings)>) -> Option<Arc<MetricChanges>> {
    MetricChanges::new(&settings.into_iter().collect())
}

/// What a request with a header counts under these changes.
fn counted(
    registry: &Registry,
    metrics: &Arc<HttpMetrics>,
    changes: Option<Arc<MetricChanges>>,
) -> Vec<String> {
    let identity = Some(Identity::new("cluster.local", "prod", "client"));
    let client = Party { workload: Some(workload("client")), identity };
    let source = Arc::new(RequestSource::new(&client, Security::MutualTls));
    let request = http::Request::builder().uri("/a?b").header("x-team", "blue").body(()).unwrap();
    let (request, ()) = request.into_parts();
    let mut report = RequestReport::open(metrics, &source, None, false);
    if let Some(changes) = changes {
        report.change_metrics(changes, &request.headers);
        report.describe(RequestDetails::of(&request));
    }
    report.close(RequestEnd { code: 200, ..RequestEnd::default() });
    registry
        .encode()
        .lines()
        .filter(|line| line.starts_with("istio_re") && !line.contains("_bucket"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn tel_10_labels_are_added_and_removed_and_the_others_stay() {
    let registry = Registry::new("proxy", "0");
    let metrics = HttpMetrics::new(&registry);
    let labels = [
        label("source_principal", LabelChange::Removed),
        label("custom_dimension", LabelChange::Set(LabelSource::Literal("test".into()))),
        label("team", LabelChange::Set(LabelSource::Header("x-team".into()))),
        label("path", LabelChange::Set(LabelSource::UrlPath)),
        label("agent", LabelChange::Set(LabelSource::UserAgent)),
        label("request_protocol", LabelChange::Set(LabelSource::Protocol)),
    ];
    let settings = MetricSettings { disabled: false, labels: labels.into() };
    let lines = counted(&registry, &metrics, changes(vec![(RequestMetric::Requests, settings)]));
    let requests: Vec<&String> =
        lines.iter().filter(|line| line.starts_with("istio_requests_total")).collect();
    assert_eq!(requests.len(), 1, "{lines:#?}");
    for label in [
        "custom_dimension=\"test\"",
        "team=\"blue\"",
        "path=\"/a\"",
        "agent=\"unknown\"",
        "request_protocol=\"HTTP/1.1\"",
        "source_app=\"client\"",
        "source_version=\"v1\"",
    ] {
        assert!(requests[0].contains(label), "{label} {requests:?}");
    }
    assert!(!requests[0].contains("source_principal"), "{requests:?}");
    let others = lines.iter().filter(|line| line.contains("source_principal=\"spiffe://"));
    assert_eq!(others.count(), 6, "sum and count of three histograms: {lines:#?}");
}

#[test]
fn a_metric_can_be_left_out_and_no_set_of_labels_is_there_twice() {
    let registry = Registry::new("proxy", "0");
    let metrics = HttpMetrics::new(&registry);
    let before = counted(&registry, &metrics, None);
    assert_eq!(before.len(), 7);
    let off = MetricSettings { disabled: true, ..MetricSettings::default() };
    let same = label("request_protocol", LabelChange::Set(LabelSource::Literal("http".into())));
    let same = MetricSettings { disabled: false, labels: [same].into() };
    let wanted = vec![(RequestMetric::Requests, off), (RequestMetric::Duration, same)];
    let after = counted(&registry, &metrics, changes(wanted));
    let names = |lines: &[String]| -> Vec<String> {
        lines.iter().map(|line| line.split('}').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(names(&before), names(&after));
    let value = |lines: &[String], name: &str| {
        let line = lines.iter().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(value(&after, "istio_requests_total"), "1", "the second request was not counted");
    assert_eq!(value(&after, "istio_request_duration_milliseconds_count"), "2");
    assert_eq!(changes(Vec::new()), None);
}
