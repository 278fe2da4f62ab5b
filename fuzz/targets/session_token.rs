//! What clients bring to be known again: read, it is written as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(written) = waypoint::fuzzing::session_token(text) {
        assert_eq!(written, text);
    }
});
