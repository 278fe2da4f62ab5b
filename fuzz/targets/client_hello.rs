//! The name a TLS client asks for: an answer, once there is one, is the same for whatever follows, and a name is one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypoint::fuzzing::name_asked_for;

/// All prefixes are tried, so inputs are short.
const LONGEST: usize = 600;

fuzz_target!(|data: &[u8]| {
    let data = &data[..data.len().min(LONGEST)];
    let decided = (0..data.len()).find_map(|end| Some((end, name_asked_for(&data[..end])?)));
    let whole = name_asked_for(data);
    if let Some((end, answer)) = decided {
        assert_eq!(whole.as_ref(), Some(&answer), "after {end} bytes it was clear");
    }
    if let Some(Some(name)) = whole {
        assert!(
            (1..=253).contains(&name.len()) && !name.contains(|letter: char| letter.is_ascii_uppercase())
        );
    }
});
