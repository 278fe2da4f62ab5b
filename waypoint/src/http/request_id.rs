//! Every request has an id that it keeps through the mesh.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// The header.
pub(crate) const REQUEST_ID: &str = "x-request-id";
const NAME: HeaderName = HeaderName::from_static(REQUEST_ID);

/// Gives a request without an id a new one, a random UUID.
pub(crate) fn ensure(headers: &mut HeaderMap) {
    if headers.get(NAME).is_none_or(HeaderValue::is_empty)
        && let Ok(id) = HeaderValue::from_bytes(&random_uuid())
    {
        headers.insert(NAME, id);
    }
}

/// Written digit by digit: every request that comes from outside gets one.
fn random_uuid() -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let random: u128 = rand::random();
    // Version 4, variant 1 (RFC 9562 §5.4).
    let mut bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    for index in (0..text.len()).rev().filter(|index| ![8, 13, 18, 23].contains(index)) {
        text[index] = DIGITS[(bits & 0xf) as usize];
        bits >>= 4;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gw_26_an_id_is_kept_and_a_missing_one_made() {
        let mut headers = HeaderMap::new();
        ensure(&mut headers);
        let made = headers[REQUEST_ID].to_str().unwrap().to_owned();
        let parts: Vec<usize> = made.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(made.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&made.as_bytes()[19]), "{made}");
        ensure(&mut headers);
        assert_eq!(headers[REQUEST_ID], made.as_str());
        headers.insert(REQUEST_ID, HeaderValue::from_static(""));
        ensure(&mut headers);
        assert_ne!(headers[REQUEST_ID], "");
        assert_ne!(headers[REQUEST_ID], made.as_str());
    }
}
