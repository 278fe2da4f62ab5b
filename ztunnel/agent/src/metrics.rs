//! What the agent counts.

use std::sync::Arc;

use http::{Method, StatusCode};
use mesh_runtime::admin::{Router, answer, text};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The agent's metrics; cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    pods: Family<State, Gauge>,
    added: Family<Addition, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Addition {
    result: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let (pods, added) = (Family::default(), Family::default());
        registry.register(
            "adit_node_agent_pods",
            "Pods of the node by what became of them",
            Family::clone(&pods),
        );
        registry.register("adit_node_agent_cni_adds", "New pods the plugin told of", Family::clone(&added));
        Self { registry: Arc::new(registry), pods, added }
    }

    /// How many pods are in which state.
    pub(crate) fn count(&self, state: &'static str, pods: usize) {
        self.pods.get_or_create(&State { state }).set(i64::try_from(pods).unwrap_or(i64::MAX));
    }

    /// A plugin told of a new pod.
    pub(crate) fn added(&self, result: &'static str) {
        self.added.get_or_create(&Addition { result }).inc();
    }

    /// Answers `GET /metrics`.
    pub(crate) fn router(&self) -> Router {
        let registry = self.registry.clone();
        Router::new().route(Method::GET, "/metrics", move |_| {
            let mut page = String::new();
            match encode(&mut page, &registry) {
                Ok(()) => answer(StatusCode::OK, CONTENT_TYPE, page),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
            }
        })
    }
}
