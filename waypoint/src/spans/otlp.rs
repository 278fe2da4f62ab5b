//! Spans as OpenTelemetry's protocol has them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_proto::opentelemetry::collector::trace::v1 as proto;
use mesh_telemetry::Span;
use prost::Message;

use super::Origin;

/// The messages as bytes.
pub(super) fn encode(origin: &Origin, spans: &[Span]) -> Vec<u8> {
    request(origin, spans).encode_to_vec()
}

pub(super) fn request(origin: &Origin, spans: &[Span]) -> proto::ExportTraceServiceRequest {
    let resource = proto::Resource { attributes: vec![attribute("service.name", &origin.service)] };
    let scope = proto::InstrumentationScope {
        name: "waypoint".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let spans = spans.iter().map(convert).collect();
    proto::ExportTraceServiceRequest {
        resource_spans: vec![proto::ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![proto::ScopeSpans { scope: Some(scope), spans }],
        }],
    }
}

fn convert(span: &Span) -> proto::Span {
    let code = if span.failed { proto::StatusCode::Error } else { proto::StatusCode::Unset };
    proto::Span {
        trace_id: span.ids.trace().to_be_bytes().to_vec(),
        span_id: span.ids.span().to_be_bytes().to_vec(),
        trace_state: span.trace_state.clone(),
        parent_span_id: span.parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
        name: span.name.to_string(),
        kind: proto::SpanKind::Server.into(),
        start_time_unix_nano: nanoseconds(span.start, Duration::ZERO),
        end_time_unix_nano: nanoseconds(span.start, span.duration),
        attributes: span.tags.iter().map(|(name, value)| attribute(name, value)).collect(),
        status: Some(proto::Status { message: String::new(), code: code.into() }),
    }
}

fn attribute(key: &str, value: &str) -> proto::KeyValue {
    let value = proto::any_value::Value::StringValue(value.to_owned());
    proto::KeyValue { key: key.to_owned(), value: Some(proto::AnyValue { value: Some(value) }) }
}

fn nanoseconds(start: SystemTime, after: Duration) -> u64 {
    let since = start.duration_since(UNIX_EPOCH).unwrap_or_default() + after;
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
