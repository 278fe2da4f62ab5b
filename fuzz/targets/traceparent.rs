//! The `traceparent` header: written and read again it is the same, and so is the trace of a child.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_telemetry::TraceParent;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some(parent) = TraceParent::parse(text) else { return };
    let written = parent.to_string();
    assert_eq!(TraceParent::parse(&written), Some(parent));
    // Of versions to come, what we know of them is written as ours.
    assert_eq!(written[2..], text[2..]);
    assert_eq!(parent.child().to_string()[..35], written[..35]);
});
