//! What is told of requests, made ready once per change: how they are traced, logged and counted.

use std::sync::Arc;

use mesh_model::{AccessLog, Telemetry};
use mesh_telemetry::MetricChanges;

use crate::spans::Tracer;

/// What is told of requests to one service, or of all through the waypoint that say nothing else.
#[derive(Debug)]
pub(crate) struct Reporting {
    /// None: what headers say of traces is passed on.
    pub(crate) tracer: Option<Tracer>,
    pub(crate) access_log: Option<Arc<AccessLog>>,
    pub(crate) metrics: Option<Arc<MetricChanges>>,
}

impl Reporting {
    pub(crate) fn compile(telemetry: &Telemetry) -> Reporting {
        Reporting {
            tracer: telemetry.tracing.as_ref().map(Tracer::compile),
            access_log: telemetry.access_log.clone().map(Arc::new),
            metrics: MetricChanges::new(&telemetry.metrics),
        }
    }
}
