//! A caller's token: nobody here has the key, so none is valid.
#![no_main]

use std::sync::OnceLock;

use adit_fuzz::{authority, runtime};
use controller::admission::{JwtAuthenticator, JwtSettings, TokenAuthenticator, TokenError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(token) = str::from_utf8(data) else { return };
    match runtime::run(authenticator().authenticate(token)) {
        Err(TokenError::Invalid(reason)) => assert!(!reason.is_empty()),
        other => panic!("{other:?}"),
    }
});

fn authenticator() -> &'static JwtAuthenticator {
    static AUTHENTICATOR: OnceLock<JwtAuthenticator> = OnceLock::new();
    AUTHENTICATOR.get_or_init(|| {
        let key = authority::public_key_pem();
        JwtAuthenticator::new(key.as_bytes(), &JwtSettings::default()).unwrap()
    })
}
