//! Access log and metrics as the controller wants them, changed while the waypoint runs.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use mesh_model::{
    AccessLog, CodeTest, Comparison, LabelChange, LabelSource, LogEncoding, LogFilter, MetricSettings,
    RequestMetric, Telemetry,
};
use tracing_subscriber::fmt::MakeWriter;

use super::backend::Act;
use super::mesh::Mesh;

/// Collects what is logged on this thread, which is the whole test's.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(super) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

fn logged(encoding: LogEncoding, filter: LogFilter) -> Telemetry {
    Telemetry { access_log: Some(AccessLog { encoding, filter }), ..Telemetry::default() }
}

#[tokio::test]
async fn the_access_log_is_switched_while_a_connection_is_open() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mesh = Mesh::start().await;
    mesh.backend("v1", |_, seen| Act::text(if seen.path() == "/bad" { 404 } else { 200 }, "")).await;
    let mut client = mesh.http1(80).await;
    lines.take();
    client.get("/one").await;
    assert!(!lines.take().contains("/one"), "off unless somebody wants it");

    mesh.report(logged(LogEncoding::Text, LogFilter::default()));
    client.get("/two").await;
    let text = lines.take();
    assert!(text.contains("\"GET /two HTTP/1.1\" 200 -"), "{text}");

    let bad = CodeTest { comparison: Comparison::AtLeast, code: 400 };
    mesh.report(logged(LogEncoding::Json, LogFilter { any_of: vec![vec![bad]] }));
    client.get("/fine").await;
    client.get("/bad").await;
    let json = lines.take();
    assert!(json.contains("\"path\":\"/bad\"") && !json.contains("/fine"), "{json}");

    mesh.report(Telemetry::default());
    client.get("/three").await;
    assert!(!lines.take().contains("/three"));
}

#[tokio::test]
async fn tel_10_a_label_is_removed_and_another_added_and_the_rest_stays() {
    let mesh = Mesh::start().await;
    mesh.echo("v1").await;
    let labels = [
        ("source_principal".into(), LabelChange::Removed),
        ("custom_dimension".into(), LabelChange::Set(LabelSource::Literal("test".into()))),
    ];
    let settings = MetricSettings { disabled: false, labels: labels.into() };
    let off = MetricSettings { disabled: true, ..MetricSettings::default() };
    let metrics = [(RequestMetric::Requests, settings), (RequestMetric::RequestBytes, off)];
    mesh.report(Telemetry { metrics: metrics.into(), ..Telemetry::default() });
    let mut client = mesh.http1(80).await;
    client.get("/").await;
    // The end of a response is counted before the next one begins.
    client.get("/").await;
    let page = mesh.registry.encode();
    let line = page.lines().find(|line| line.starts_with("istio_requests_total{")).unwrap();
    for label in ["custom_dimension=\"test\"", "source_app=\"client\"", "destination_version=\"v1\""] {
        assert!(line.contains(label), "{label} {line}");
    }
    assert!(!line.contains("source_principal"), "{line}");
    assert!(page.contains("istio_response_bytes_count{"), "{page}");
    assert!(!page.contains("istio_request_bytes_count{"), "{page}");
}
