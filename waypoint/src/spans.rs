//! Traces: which requests have a span, what the span says, and how backends are told of it. What becomes of spans that
//! have ended is `export.rs`.

mod export;
mod otlp;
mod zipkin;

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use mesh_model::{TagSource, TraceCollector, TraceProtocol, Tracing};
use mesh_telemetry::{OpenSpan, TraceContext, TraceParent};

use crate::http::includes;
use crate::tunnel::Tunnel;
use crate::worker::Me;
pub(crate) use export::{Exporter, Reach, SpanQueue};

/// How the requests to a service are traced.
#[derive(Debug)]
pub(crate) struct Tracer {
    tracing: Tracing,
    collector: Arc<TraceCollector>,
    /// Tags that are the same for all requests.
    fixed: Vec<(Arc<str>, Arc<str>)>,
    /// Tags that headers say, and what they are without the header.
    of_headers: Vec<(Arc<str>, HeaderName, Option<Arc<str>>)>,
}

/// Whose spans they are.
#[derive(Debug)]
pub(crate) struct Origin {
    /// What traces call this waypoint: its Gateway's name and namespace.
    pub(crate) service: String,
    node_id: String,
    own_tags: [(&'static str, String); 5],
}

impl Origin {
    pub(crate) fn new(me: &Me) -> Origin {
        let gateway = &me.gateway;
        Origin {
            service: format!("{}.{}", gateway.gateway, gateway.namespace),
            node_id: me.node_id.clone(),
            own_tags: [
                ("istio.canonical_service", gateway.gateway.to_string()),
                ("istio.canonical_revision", "latest".to_owned()),
                // A mesh without a name of its own is called by its trust domain.
                ("istio.mesh_id", me.identity.trust_domain.to_string()),
                ("istio.namespace", gateway.namespace.to_string()),
                ("istio.cluster_id", me.cluster_id.clone()),
            ],
        }
    }
}

impl Tracer {
    pub(crate) fn compile(tracing: &Tracing) -> Tracer {
        let (mut fixed, mut of_headers) = (Vec::new(), Vec::new());
        for (tag, source) in &tracing.tags {
            match source {
                TagSource::Literal(text) => fixed.push((tag.clone(), text.clone())),
                TagSource::Environment(source) => {
                    let value = std::env::var(&*source.name).ok().map(Arc::from);
                    fixed.extend(value.or_else(|| source.default.clone()).map(|value| (tag.clone(), value)));
                }
                TagSource::Header(source) => {
                    let name = HeaderName::try_from(&*source.name).ok();
                    of_headers.extend(name.map(|name| (tag.clone(), name, source.default.clone())));
                }
            }
        }
        Tracer { tracing: tracing.clone(), collector: Arc::new(tracing.collector.clone()), fixed, of_headers }
    }

    /// Begins the span of a request, if it has one, and changes the headers so that its backend is told.
    pub(crate) fn begin(&self, tunnel: &Tunnel, headers: &mut HeaderMap) -> Option<OpenSpan> {
        let context = TraceContext::of(headers, self.tracing.headers);
        let sampled = context.sampled.unwrap_or_else(|| includes(self.tracing.sampled));
        let reported = sampled && self.tracing.reported;
        // Where there is nothing to add, what others have written goes on as it is.
        let said_enough = match context.sampled {
            Some(sampled) => !sampled || context.parent.is_some(),
            None => false,
        };
        if !reported && said_enough {
            return None;
        }
        let span = rand::random::<u64>().max(1);
        let trace = context.parent.map_or_else(|| self.new_trace(), TraceParent::trace);
        let ids = TraceParent::new(trace, span, sampled);
        let open = reported.then(|| self.open(tunnel, headers, ids, context.parent));
        if self.tracing.propagated {
            context.tell(headers, ids, self.tracing.headers);
        }
        open
    }

    fn open(
        &self,
        tunnel: &Tunnel,
        headers: &HeaderMap,
        ids: TraceParent,
        parent: Option<TraceParent>,
    ) -> OpenSpan {
        let name = match tunnel.plan.service() {
            Some(service) => format!("{}:{}/*", service.key.hostname, tunnel.target.port()),
            None => format!("{}/*", tunnel.target),
        };
        let (queue, collector) = (tunnel.worker.spans.clone(), self.collector.clone());
        let tags = self.tags(queue.origin(), headers);
        OpenSpan::new(ids, parent, headers, name.into(), tags, move |span| queue.put(collector, span))
    }

    fn tags(&self, origin: &Origin, headers: &HeaderMap) -> Vec<(Cow<'static, str>, String)> {
        let mut tags = vec![("node_id".into(), origin.node_id.clone())];
        if self.tracing.own_tags {
            tags.extend(origin.own_tags.iter().map(|(name, value)| ((*name).into(), value.clone())));
        }
        tags.extend(self.fixed.iter().map(|(name, value)| (name.to_string().into(), value.to_string())));
        for (tag, name, default) in &self.of_headers {
            let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            let value = value.or_else(|| default.as_ref().map(ToString::to_string));
            tags.extend(value.map(|value| (tag.to_string().into(), value)));
        }
        tags
    }

    fn new_trace(&self) -> u128 {
        match self.tracing.collector.protocol {
            TraceProtocol::Zipkin { short_ids: true, .. } => rand::random::<u64>().max(1).into(),
            _ => rand::random::<u128>().max(1),
        }
    }
}
