//! Spans as Zipkin has them: JSON of version 2.

use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use mesh_telemetry::Span;
use serde_json::{Map, Value, json};

use super::Origin;

pub(super) fn encode(origin: &Origin, ip: IpAddr, spans: &[Span]) -> Vec<u8> {
    let all: Vec<Value> = spans.iter().map(|span| convert(origin, ip, span)).collect();
    Value::from(all).to_string().into_bytes()
}

fn convert(origin: &Origin, ip: IpAddr, span: &Span) -> Value {
    let microseconds = |since: std::time::Duration| u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    let family = if ip.is_ipv4() { "ipv4" } else { "ipv6" };
    // Tags are texts by name, so of two with one name the last counts.
    let tags: Map<String, Value> =
        span.tags.iter().map(|(name, value)| (name.to_string(), value.as_str().into())).collect();
    let mut json = json!({
        "traceId": span.trace_text(),
        "id": Span::id_text(span.ids.span()),
        "name": &*span.name,
        "kind": "SERVER",
        "timestamp": microseconds(span.start.duration_since(UNIX_EPOCH).unwrap_or_default()),
        // Zero would mean that nobody knows.
        "duration": microseconds(span.duration).max(1),
        "localEndpoint": { "serviceName": origin.service, family: ip.to_string() },
        "tags": tags,
    });
    if let Some(parent) = span.parent {
        json["parentId"] = Span::id_text(parent).into();
    }
    json
}
