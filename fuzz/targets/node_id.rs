//! The id of a node on a discovery stream: written and read again it is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_xds::NodeId;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    match text.parse::<NodeId>() {
        Ok(id) => assert_eq!(id.to_string().parse(), Ok(id)),
        Err(error) => assert!(error.0.chars().count() <= 200),
    }
});
