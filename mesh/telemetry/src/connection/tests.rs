//! What a connection's report counts and logs.

use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_model::Identity;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::Registry;
use crate::labels::tests::workload;

/// Collects what is logged on this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

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

pub(crate) fn logged(work: impl FnOnce()) -> String {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn party(name: &str, mutual_tls: bool) -> Party {
    Party {
        workload: Some(workload(name)),
        identity: mutual_tls.then(|| Identity::new("cluster.local", "prod", name)),
    }
}

fn open(metrics: &Arc<TcpMetrics>, reporter: Reporter, mutual_tls: bool) -> ConnectionReport {
    let service = ServiceRef { key: "prod/web.prod.svc.cluster.local".parse().unwrap() };
    let addresses = Addresses {
        source: "10.0.0.1:5000".parse().unwrap(),
        destination: "10.0.0.2:15008".parse().unwrap(),
        target: Some("10.0.0.2:8080".to_owned()),
    };
    let (source, destination) = (party("client", mutual_tls), party("web", mutual_tls));
    ConnectionReport::open(metrics, reporter, source, destination, Some(service), addresses)
}

fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in {text}"))
}

#[test]
fn tel_01_02_counters_have_the_exact_labels_in_order() {
    let registry = Registry::new("ztunnel", "0");
    let metrics = TcpMetrics::new(&registry);
    open(&metrics, Reporter::Source, true).close(Ok(()));
    let text = registry.encode();
    assert_eq!(
        line(&text, "istio_tcp_connections_opened_total{"),
        "istio_tcp_connections_opened_total{reporter=\"source\",source_workload=\"client\",\
         source_canonical_service=\"client\",source_canonical_revision=\"v1\",source_workload_namespace=\"prod\",\
         source_principal=\"spiffe://cluster.local/ns/prod/sa/client\",source_app=\"client\",source_version=\"v1\",\
         source_cluster=\"Kubernetes\",destination_service=\"web.prod.svc.cluster.local\",\
         destination_service_namespace=\"prod\",destination_service_name=\"web\",destination_workload=\"web\",\
         destination_canonical_service=\"web\",destination_canonical_revision=\"v1\",\
         destination_workload_namespace=\"prod\",destination_principal=\"spiffe://cluster.local/ns/prod/sa/web\",\
         destination_app=\"web\",destination_version=\"v1\",destination_cluster=\"Kubernetes\",\
         request_protocol=\"tcp\",response_flags=\"-\",connection_security_policy=\"mutual_tls\"} 1"
    );
    assert!(line(&text, "istio_tcp_connections_closed_total{").ends_with("} 1"));
}

#[test]
fn tel_03_unknown_parties_say_unknown() {
    let registry = Registry::new("ztunnel", "0");
    let metrics = TcpMetrics::new(&registry);
    let addresses = Addresses {
        source: "10.0.0.1:5000".parse().unwrap(),
        destination: "10.0.0.2:80".parse().unwrap(),
        target: None,
    };
    let unknown = Party::default();
    ConnectionReport::open(&metrics, Reporter::Destination, unknown.clone(), unknown, None, addresses)
        .close(Ok(()));
    let text = registry.encode();
    let opened = line(&text, "istio_tcp_connections_opened_total{");
    for label in
        ["source_principal", "destination_service", "destination_workload", "connection_security_policy"]
    {
        assert!(opened.contains(&format!("{label}=\"unknown\"")), "{label}: {opened}");
    }
}

#[test]
fn tel_06_07_bytes_are_the_requests_in_metrics_and_each_sides_in_logs() {
    for (reporter, sent, received) in [(Reporter::Source, 11, 22), (Reporter::Destination, 22, 11)] {
        let registry = Registry::new("ztunnel", "0");
        let metrics = TcpMetrics::new(&registry);
        let log = logged(|| {
            let mut report = open(&metrics, reporter, true);
            let request = Arc::new(AtomicU64::new(5));
            let shared = request.clone();
            report.measure(move || (shared.load(Ordering::Relaxed), 22));
            report.flush();
            request.store(11, Ordering::Relaxed);
            report.close(Ok(()));
        });
        let text = registry.encode();
        assert!(line(&text, "istio_tcp_received_bytes_total{").ends_with("} 11"), "{text}");
        assert!(line(&text, "istio_tcp_sent_bytes_total{").ends_with("} 22"), "{text}");
        assert!(log.contains(&format!("bytes_sent={sent} bytes_recv={received}")), "{log}");
    }
}

#[test]
fn tel_11_12_the_log_names_both_ends() {
    let metrics = Arc::new(TcpMetrics::default());
    let log = logged(|| open(&metrics, Reporter::Source, true).close(Ok(())));
    assert!(log.lines().next().unwrap().contains("DEBUG access: connection opened"), "{log}");
    let complete = log.lines().nth(1).unwrap();
    for part in [
        "INFO access: connection complete",
        "src.addr=10.0.0.1:5000",
        "src.workload=\"client-1\"",
        "src.namespace=\"prod\"",
        "src.identity=\"spiffe://cluster.local/ns/prod/sa/client\"",
        "dst.addr=10.0.0.2:15008",
        "dst.hbone_addr=10.0.0.2:8080",
        "dst.service=\"web.prod.svc.cluster.local\"",
        "dst.identity=\"spiffe://cluster.local/ns/prod/sa/web\"",
        "dst.workload=\"web-1\"",
        "dst.cluster=\"Kubernetes\"",
        "direction=\"outbound\"",
        "duration=\"0ms\"",
    ] {
        assert!(complete.contains(part), "{part}: {complete}");
    }
    let plain = logged(|| open(&metrics, Reporter::Source, false).close(Ok(())));
    assert!(!plain.contains("identity"), "{plain}");
}

#[test]
fn tel_24_a_denial_is_an_error_with_its_reason_and_flag() {
    let registry = Registry::new("ztunnel", "0");
    let metrics = TcpMetrics::new(&registry);
    let error = "connection closed due to policy rejection: explicitly denied by: prod/no".to_owned();
    let log = logged(|| {
        open(&metrics, Reporter::Destination, true).close(Err(Failure { flag: ResponseFlag::Denied, error }));
    });
    let complete = log.lines().nth(1).unwrap();
    assert!(complete.contains("ERROR access: connection complete"), "{complete}");
    assert!(complete.contains("error=\"connection closed due to policy rejection"), "{complete}");
    let text = registry.encode();
    assert!(line(&text, "istio_tcp_connections_closed_total{").contains("response_flags=\"DENY\""));
    assert!(line(&text, "istio_tcp_connections_failed_total{").contains("response_flags=\"DENY\""));
    assert!(line(&text, "istio_tcp_connections_opened_total{").contains("response_flags=\"-\""));
}

#[test]
fn a_report_that_is_dropped_is_closed_once() {
    let registry = Registry::new("ztunnel", "0");
    let metrics = TcpMetrics::new(&registry);
    let log = logged(|| drop(open(&metrics, Reporter::Source, true)));
    assert!(log.contains("error=\"connection closed by the proxy\""), "{log}");
    assert!(line(&registry.encode(), "istio_tcp_connections_closed_total{").ends_with("} 1"));
}

#[test]
fn tel_08_a_long_connection_is_counted_while_it_is_open() {
    let registry = Registry::new("ztunnel", "0");
    let metrics = TcpMetrics::new(&registry);
    let mut report = open(&metrics, Reporter::Source, true);
    report.measure(|| (7, 0));
    report.flush();
    report.flush();
    let text = registry.encode();
    assert!(line(&text, "istio_tcp_connections_opened_total{").ends_with("} 1"), "{text}");
    assert!(line(&text, "istio_tcp_received_bytes_total{").ends_with("} 7"), "counted once: {text}");
    assert!(!text.contains("istio_tcp_connections_closed_total{"), "{text}");
    report.close(Ok(()));
}

#[test]
fn locality_is_labelled_where_it_is_known() {
    let registry = Registry::new("ztunnel", "0");
    let metrics = TcpMetrics::new(&registry);
    let mut zoned = Workload::clone(&workload("client"));
    zoned.locality.region = "r".into();
    zoned.locality.zone = "z".into();
    let source = Party::from(&Arc::new(zoned));
    let addresses = Addresses {
        source: "10.0.0.1:5000".parse().unwrap(),
        destination: "10.0.0.2:80".parse().unwrap(),
        target: None,
    };
    ConnectionReport::open(&metrics, Reporter::Source, source, Party::default(), None, addresses)
        .close(Ok(()));
    let text = registry.encode();
    let closed = line(&text, "istio_tcp_connections_closed_total{");
    assert!(
        closed.ends_with("connection_security_policy=\"unknown\",source_region=\"r\",source_zone=\"z\"} 1"),
        "{closed}"
    );
}

#[test]
fn an_open_socket_is_counted_until_it_is_closed() {
    let registry = Registry::new("ztunnel", "0");
    let metrics = TcpMetrics::new(&registry);
    let socket = metrics.count_socket(Reporter::Source);
    assert!(registry.encode().contains("istio_tcp_sockets_open{reporter=\"source\"} 1\n"));
    drop(socket);
    assert!(registry.encode().contains("istio_tcp_sockets_open{reporter=\"source\"} 0\n"));
}

#[test]
fn an_early_denial_says_only_what_is_known() {
    let log = logged(|| {
        let source = "10.0.0.1:5000".parse().unwrap();
        early_denial(source, "10.0.0.2:80".parse().unwrap(), Direction::Inbound, &"unknown source");
    });
    assert!(
        log.contains("WARN access: connection failed src.addr=10.0.0.1:5000 dst.addr=10.0.0.2:80"),
        "{log}"
    );
}
