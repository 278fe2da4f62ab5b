//! What whoever counts requests answers by gRPC: it says something of each limit it was asked about and of no other, and
//! changes neither whom the request is for nor how it is framed.
#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use waypoint::fuzzing::counted;

const KEPT: [&str; 4] = ["host", "content-length", "transfer-encoding", "te"];

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    for name in KEPT {
        headers.insert(name, HeaderValue::from_static("mine"));
    }
    for limits in 1..4 {
        if let Some(counted) = counted(data, limits, &mut headers) {
            assert_eq!(counted, limits);
        }
    }
    for name in KEPT {
        let values: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(values, ["mine"], "{name}");
    }
});
