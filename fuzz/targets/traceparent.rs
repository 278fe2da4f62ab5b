//! The headers of traces: `traceparent` written and read again is the same, and so is the trace of a child; a span that a
//! backend is told of by `b3` belongs to the trace that was read.
#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use mesh_model::TraceHeaders;
use mesh_telemetry::{TraceContext, TraceParent};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    check_b3(text);
    let Some(parent) = TraceParent::parse(text) else { return };
    let written = parent.to_string();
    assert_eq!(TraceParent::parse(&written), Some(parent));
    // Of versions to come, what we know of them is written as ours.
    assert_eq!(written[2..], text[2..]);
    assert_eq!(parent.child().to_string()[..35], written[..35]);
});

fn check_b3(text: &str) {
    let Ok(value) = HeaderValue::from_str(text) else { return };
    let mut headers = HeaderMap::from_iter([(http::HeaderName::from_static("b3"), value)]);
    let context = TraceContext::of(&headers, TraceHeaders::B3);
    let Some(parent) = context.parent else { return };
    let own = TraceParent::new(parent.trace(), 7, true);
    context.tell(&mut headers, own, TraceHeaders::B3);
    let told = TraceContext::of(&headers, TraceHeaders::B3);
    assert_eq!((told.parent, told.sampled), (Some(own), Some(true)));
}
