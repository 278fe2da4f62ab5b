//! What operators ask the controller: readiness, metrics, what is wrong with the manifests.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{Method, StatusCode};
use mesh_runtime::admin::{Router, answer, json, readiness_router, text};
use mesh_runtime::readiness::Readiness;
use mesh_xds::Publisher;

use crate::ca;
use crate::directory::Problems;
use crate::kubernetes::tokens::TokenStatistics;
use crate::origin::InCluster;
use crate::publish::TYPES;

/// What there is to tell.
#[derive(Clone)]
pub struct Facts {
    /// What is still to be done.
    pub readiness: Readiness,
    /// What is published.
    pub publisher: Publisher,
    /// What streams did.
    pub streams: Arc<mesh_xds::Statistics>,
    /// What the authority did.
    pub certificates: Arc<ca::Statistics>,
    /// What is wrong with the manifests.
    pub problems: Problems,
    /// The cluster, if objects come from one.
    pub cluster: Option<InCluster>,
    /// What became of tokens, where it is counted.
    pub tokens: Option<Arc<TokenStatistics>>,
}

/// Answers `/healthz`, `/healthz/ready`, `/ready`, `/metrics` and `/problems`.
pub fn router(facts: Facts) -> Router {
    let Facts { readiness, problems, .. } = facts.clone();
    let ready = move |_: &mesh_runtime::admin::Request| match readiness.is_ready() {
        true => text(StatusCode::OK, "ready\n"),
        false => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    };
    let problems = move |_: &mesh_runtime::admin::Request| {
        json(serde_json::to_string_pretty(&*problems.borrow()).unwrap_or_default() + "\n")
    };
    readiness_router(facts.readiness.clone())
        .route(Method::GET, "/healthz", |_| text(StatusCode::OK, "alive\n"))
        .route(Method::GET, "/ready", ready)
        .route(Method::GET, "/problems", problems)
        .route(Method::GET, "/metrics", move |_| {
            answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", facts.metrics())
        })
}

impl Facts {
    fn metrics(&self) -> String {
        let mut out = Exposition::default();
        let resources = TYPES.map(|type_url| {
            let short = type_url.rsplit('.').next().unwrap_or(type_url);
            (format!("{{type=\"{short}\"}}"), self.publisher.count(type_url) as u64)
        });
        out.family("resources", "gauge", "Resources published.", &resources);
        let read =
            |counter: &std::sync::atomic::AtomicU64| [(String::new(), counter.load(Ordering::Relaxed))];
        out.family("streams", "gauge", "Discovery streams open.", &read(&self.streams.streams));
        out.family("responses_total", "counter", "Discovery responses sent.", &read(&self.streams.responses));
        let rejections = read(&self.streams.rejections);
        out.family(
            "rejections_total",
            "counter",
            "Responses of which a proxy rejected something.",
            &rejections,
        );
        let signed = self.certificates.signed.load(Ordering::Relaxed);
        let certificates = [("signed", signed), ("refused", self.certificates.refused_in_all())];
        let certificates = certificates.map(|(result, count)| (format!("{{result=\"{result}\"}}"), count));
        out.family("certificates_total", "counter", "Requests for certificates.", &certificates);
        let refused = self.certificates.refused();
        let refused: Vec<_> =
            refused.map(|(reason, count)| (format!("{{reason=\"{}\"}}", reason.as_str()), count)).collect();
        let help = "Requests for certificates refused.";
        out.family("certificate_refusals_total", "counter", help, &refused);
        let problems = self.problems.borrow().len() as u64;
        out.family(
            "manifest_problems",
            "gauge",
            "What is wrong with manifests.",
            &[(String::new(), problems)],
        );
        if let Some(tokens) = &self.tokens {
            let tokens: Vec<_> =
                tokens.all().map(|(result, count)| (format!("{{result=\"{result}\"}}"), count)).collect();
            out.family("tokens_total", "counter", "Tokens of callers.", &tokens);
        }
        if let Some(cluster) = &self.cluster {
            cluster_metrics(&mut out, cluster);
        }
        out.0
    }
}

fn cluster_metrics(out: &mut Exposition, cluster: &InCluster) {
    let counters = &cluster.statistics;
    let read = |counter: &std::sync::atomic::AtomicU64| [(String::new(), counter.load(Ordering::Relaxed))];
    let leads = u64::from(*cluster.leads.borrow());
    out.family("leader", "gauge", "Whether this replica is the one that writes.", &[(String::new(), leads)]);
    let families = [
        ("watch_errors_total", "Watches that failed and were begun anew.", &counters.watch_errors),
        ("relists_total", "Lists made after the first of a kind.", &counters.relists),
        ("unreadable_objects_total", "Versions of objects that could not be read.", &counters.unreadable),
        ("statuses_written_total", "Statuses written or removed.", &counters.statuses),
        ("status_errors_total", "Writes of statuses that failed.", &counters.status_errors),
    ];
    for (name, help, counter) in families {
        out.family(name, "counter", help, &read(counter));
    }
}

/// Metrics in Prometheus's text form.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str, samples: &[(String, u64)]) {
        // Writing to a String cannot fail.
        let _ =
            writeln!(self.0, "# HELP adit_controller_{name} {help}\n# TYPE adit_controller_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(self.0, "adit_controller_{name}{labels} {value}");
        }
    }
}
