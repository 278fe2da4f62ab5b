//! The `forwarded` header: the host that is found in it is found again when it is written anew.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use mesh_telemetry::forwarded::{encode, find_host};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let Some(host) = find_host(text) else { return };
    assert!(text.contains(host) && host.bytes().all(|byte| byte.is_ascii_graphic()));
    let client = SocketAddr::from(([10, 0, 0, 1], 80));
    assert_eq!(find_host(&encode(client, Some(host))), Some(host));
});
