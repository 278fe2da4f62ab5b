//! The head of a CONNECT request: what is read of it can be sent on, and is read the same again.
#![no_main]

use adit_fuzz::head;
use libfuzzer_sys::fuzz_target;
use mesh_hbone::{ConnectRequest, fuzzing};

fuzz_target!(|data: &[u8]| {
    let Some(head) = head::read(data) else { return };
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let Ok(request) = ConnectRequest::read(&head.method, authority, &head.headers) else { return };
    let sent = fuzzing::to_http(&request).unwrap();
    let authority = sent.uri().authority().map(http::uri::Authority::as_str);
    let again = ConnectRequest::read(sent.method(), authority, sent.headers()).unwrap();
    let mut expected = request;
    if expected.baggage.is_empty() {
        // Sent even when nothing is known (HB-03).
        expected.baggage.push(String::new());
    }
    assert_eq!(again, expected);
});
