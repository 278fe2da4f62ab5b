//! Every metric of a program, and the page that shows them.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry as Inner};

use crate::process::Process;

/// The registry. Cheap to clone; whoever counts something registers it at start.
#[derive(Clone, Debug)]
pub struct Registry {
    all: Arc<Mutex<Inner>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    component: &'static str,
    tag: String,
}

impl Registry {
    /// A registry with what every program has: its build and its file descriptors (TEL-15).
    pub fn new(component: &'static str, tag: &str) -> Self {
        let registry = Registry { all: Arc::default() };
        let build: Family<Build, Gauge> = Family::default();
        build.get_or_create(&Build { component, tag: tag.to_owned() }).set(1);
        registry.register("istio_build", "The build of this program", build);
        registry.collect(Process);
        registry
    }

    /// Adds a metric under its full name; counters get `_total` in the page.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.lock().register(name, help, metric);
    }

    pub(crate) fn collect(&self, collector: impl Collector) {
        self.lock().register_collector(Box::new(collector));
    }

    pub(crate) fn gauge(&self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.register(name, help, gauge.clone());
        gauge
    }

    pub(crate) fn counter(&self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.register(name, help, counter.clone());
        counter
    }

    /// The page, in OpenMetrics, which readers of the older text format take as well.
    pub fn encode(&self) -> String {
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut page, &self.lock());
        page
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(page: &str, name: &str) -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{page}"));
        line.trim().parse().unwrap()
    }

    #[test]
    fn tel_15_every_program_shows_its_build_and_its_file_descriptors() {
        let page = Registry::new("ztunnel", "1.2.3").encode();
        assert!(page.contains("istio_build{component=\"ztunnel\",tag=\"1.2.3\"} 1\n"), "{page}");
        let open = value(&page, "process_open_fds ");
        assert!(open >= 1.0 && open <= value(&page, "process_max_fds "), "{page}");
    }

    #[test]
    fn tel_14_help_tells_which_metrics_may_change() {
        let registry = Registry::new("ztunnel", "1");
        let _socket = crate::TcpMetrics::new(&registry).count_socket(crate::Reporter::Source);
        crate::PodMetrics::new(&registry);
        let xds = crate::XdsMetrics::new(&registry);
        xds.terminated("Error");
        xds.received("url", 1);
        let dns = crate::DnsMetrics::new(&registry);
        let labels = crate::DnsLabels {
            request_query_type: "AAAA",
            request_protocol: crate::DnsProtocol::udp,
            source_canonical_service: "web".into(),
            source_canonical_revision: "v1".into(),
        };
        dns.asked(&labels);
        dns.sent_on(&labels, false, std::time::Duration::from_millis(2));
        let stable = [
            "istio_build",
            "istio_tcp_connections_opened",
            "istio_tcp_connections_closed",
            "istio_tcp_received_bytes",
            "istio_tcp_sent_bytes",
            "process_open_fds",
            "process_max_fds",
        ];
        let page = registry.encode();
        let mut described = 0;
        for (name, help) in page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')) {
            assert_eq!(!help.contains("(unstable)"), stable.contains(&name), "{name}: {help}");
            described += 1;
        }
        let [tcp, xds, dns, pods] = [2, 3, 4, 4];
        assert_eq!(described, stable.len() + tcp + xds + dns + pods, "{page}");
        for line in [
            "istio_dns_upstream_failures_total{request_query_type=\"AAAA\",request_protocol=\"udp\",\
             source_canonical_service=\"web\",source_canonical_revision=\"v1\"} 1",
            "istio_dns_upstream_request_duration_seconds_bucket{le=\"0.01\",request_query_type=\"AAAA\",\
             request_protocol=\"udp\",source_canonical_service=\"web\",source_canonical_revision=\"v1\"} 1",
        ] {
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
    }
}
