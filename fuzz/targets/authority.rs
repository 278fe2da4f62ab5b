//! The `:authority` of a CONNECT: what is taken has one spelling, and is what the standard library sees in it.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use mesh_hbone::Target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(target) = text.parse::<Target>() else { return };
    let written = target.to_string();
    assert!(written.len() <= 253 + 6 && target.port() > 0);
    assert_eq!(written.parse().as_ref(), Ok(&target));
    match text.parse::<SocketAddr>() {
        Ok(address) => assert_eq!(target, Target::from(address)),
        Err(_) => assert!(matches!(target, Target::Hostname(..))),
    }
});
