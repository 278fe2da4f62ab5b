//! Bodies of gRPC-web in base64: the pieces they come in change nothing, and a second, slow reading agrees.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use waypoint::fuzzing::base64_body;

fuzz_target!(|data: &[u8]| {
    let Some((size, text)) = data.split_first() else { return };
    let read = base64_body([text]);
    assert_eq!(base64_body(text.chunks(usize::from(*size).max(1))), read, "in pieces of {size}");
    let groups = text.chunks(4).map(|group| STANDARD.decode(group));
    let slowly: Result<Vec<Vec<u8>>, _> = groups.collect();
    assert_eq!(read, slowly.ok().map(|groups| groups.concat()));
});
