//! What a peer says in a TLS handshake, by the first byte to our client or to our server: nobody gets
//! through without the keys, and what is answered are a few whole records.
#![no_main]

use std::io::ErrorKind;

use adit_fuzz::{runtime, tls};
use libfuzzer_sys::fuzz_target;

/// The most that is answered: a hello, another after a HelloRetryRequest, or a flight with a certificate, and an alert.
const LONGEST: usize = 8192;

fuzz_target!(|data: &[u8]| {
    let Some((side, said)) = data.split_first() else { return };
    let outcome = runtime::run(async {
        match side % 2 {
            0 => tls::accept(said).await,
            _ => tls::connect(said).await,
        }
    });
    let error = outcome.session.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof), "{error}");
    let mut rest = &outcome.written[..];
    assert!(rest.len() <= LONGEST, "{} bytes", rest.len());
    while let Some((&[kind, _, _, high, low], after)) = rest.split_first_chunk() {
        assert!((20..=23).contains(&kind), "a record of type {kind}");
        rest = &after[usize::from(u16::from_be_bytes([high, low]))..];
    }
    assert!(rest.is_empty(), "{rest:?}");
});
