//! What an endpoint answers by gRPC that is asked how it is: it serves only if it says so, in one message and no more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypoint::fuzzing::serves;

fuzz_target!(|data: &[u8]| {
    let serves_now = serves(data);
    if serves_now == Some(true) {
        // The field that says so is in there, and the frame says how long it is.
        assert!(data.len() >= 7 && data[0] == 0);
        assert_eq!(u32::from_be_bytes([data[1], data[2], data[3], data[4]]) as usize, data.len() - 5);
        let longer = [data, &[0]].concat();
        assert_eq!(serves(&longer), None, "what follows is no part of the message");
    }
});
