//! What the proxies tell of their work. One report object per connection or
//! request feeds metric, access log and span, so that they cannot disagree; beside them
//! the headers by which proxies tell each other whose traffic it is.

pub mod baggage;
mod connection;
mod dns;
mod families;
pub mod forwarded;
mod health_metrics;
mod hedge_metrics;
mod http_metrics;
mod labels;
mod metric_changes;
mod outlier_metrics;
mod overflow;
mod party;
mod prepared;
mod process;
mod rate_limit_metrics;
mod registry;
mod request;
mod request_log;
mod response_flags;
mod revocation_metrics;
mod series;
mod span;
mod span_metrics;
mod span_tags;
mod tcp_metrics;
mod trace_context;
pub mod traceparent;

pub use baggage::Baggage;
pub use connection::{Addresses, ConnectionReport, Failure, early_denial};
pub use dns::{DnsLabels, DnsMetrics, DnsProtocol, OnDemandMetrics};
pub use families::{PodMetrics, XdsMetrics};
pub use health_metrics::{EndpointCounts, HealthMetrics};
pub use hedge_metrics::{HedgeMetrics, HedgeOutcome};
pub use http_metrics::HttpMetrics;
pub use mesh_model::LogEncoding;
pub use metric_changes::MetricChanges;
pub use outlier_metrics::OutlierMetrics;
pub use overflow::OverflowMetrics;
pub use party::{Direction, Party, Reporter, Security, ServiceRef};
pub use rate_limit_metrics::{LimitCounters, RateLimitMetrics};
pub use registry::Registry;
pub use request::{RequestEnd, RequestReport, RequestSource};
pub use request_log::RequestDetails;
pub use response_flags::{RequestFlags, ResponseFlag};
pub use revocation_metrics::RevocationMetrics;
pub use span::{OpenSpan, Span};
pub use span_metrics::{DropReason, SpanMetrics};
pub use tcp_metrics::{OpenSocket, TcpMetrics};
pub use trace_context::TraceContext;
pub use traceparent::TraceParent;
