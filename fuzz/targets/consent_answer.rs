//! What whoever is asked about a request answers by gRPC: it changes neither whom the request is for nor how it is
//! framed, and a denial has a status that can be answered with.
#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use waypoint::fuzzing::consent;

const KEPT: [&str; 4] = ["host", "content-length", "transfer-encoding", "te"];

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    for name in KEPT {
        headers.insert(name, HeaderValue::from_static("mine"));
    }
    if let Some(Err(status)) = consent(data, &mut headers) {
        assert!((200..600).contains(&status.as_u16()), "{status}");
    }
    for name in KEPT {
        let values: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(values, ["mine"], "{name}");
    }
});
