//! The node's network configuration: our entry is there once, at the end, however often it
//! is put in, and what is not ours stays byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ztunnel_agent::fuzzing::{chain, is_chained, unchain};

const ENTRY: &str = r#"{"type":"adit-cni","runDir":"/run/adit"}"#;

fuzz_target!(|data: &[u8]| {
    let Ok(list) = str::from_utf8(data) else { return };
    let Ok(without) = unchain(list) else { return assert!(chain(list, ENTRY).is_err()) };
    assert!(!is_chained(&without));
    assert_eq!(is_chained(list), without != list);
    let Ok(with) = chain(list, ENTRY) else { return };
    assert!(is_chained(&with));
    assert_eq!(chain(&with, ENTRY).as_ref(), Ok(&with));
    assert_eq!(unchain(&with).as_ref(), Ok(&without));
});
