//! What is spoken on a connection: an answer, once there is one, is the same for whatever
//! follows, so nobody can choose it by the pieces he sends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypoint::fuzzing::guess;

/// All prefixes are tried, so inputs are short; only past 8 KiB would a line be answered for before it ends.
const LONGEST: usize = 400;

fuzz_target!(|data: &[u8]| {
    let data = &data[..data.len().min(LONGEST)];
    let decided = (0..data.len()).find_map(|end| Some((end, guess(&data[..end])?)));
    if let Some((end, protocol)) = decided {
        assert_eq!(guess(data), Some(protocol), "after {end} bytes it was clear");
    }
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if guess(data) == Some("HTTP/1.1") {
        assert!(line.trim_ascii_end().ends_with(b" HTTP/1.1"));
    }
});
