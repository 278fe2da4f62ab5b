//! The head of a CONNECT request: what is read of it can be sent on, and is read the same again.
#![no_main]

use adit_fuzz::head;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use mesh_hbone::{ConnectRequest, fuzzing};

fuzz_target!(|data: &[u8]| {
    let Some(head) = head::read(data) else { return };
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    let Ok(request) = ConnectRequest::read(&head.method, authority, &head.headers) else { return };
    let (mut authority, mut headers) = (None, HeaderMap::new());
    let block = fuzzing::to_block(&request);
    let add = |name: &[u8], value: &[u8]| match name {
        b":method" => assert_eq!(value, b"CONNECT"),
        b":authority" => authority = Some(String::from_utf8(value.to_vec()).unwrap()),
        name => {
            let (name, value) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value));
            headers.append(name.unwrap(), value.unwrap());
        }
    };
    mesh_frames::Decoder::default().decode(&block, add).unwrap();
    let again = ConnectRequest::read(&Method::CONNECT, authority.as_deref(), &headers).unwrap();
    let mut expected = request;
    if expected.baggage.is_empty() {
        // Sent even when nothing is known (HB-03).
        expected.baggage.push(String::new());
    }
    assert_eq!(again, expected);
});
