//! A file of limits for the rate limiter: read, or refused in words; and a descriptor finds a limit or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ratelimit::Limits;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut limits = Limits::default();
    match limits.add(text) {
        Ok(()) => {
            for domain in ["shop", "a"] {
                for value in ["free", "/search", ""] {
                    let _ = limits.find(domain, [("plan", value), ("path", value)]);
                    let _ = limits.find(domain, [("plan", value)]);
                }
            }
            // A domain is in one file only.
            assert!(limits.add(text).is_err());
        }
        Err(invalid) => assert!(!invalid.to_string().is_empty()),
    }
});
