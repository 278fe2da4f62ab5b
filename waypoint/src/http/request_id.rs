//! Every request has an id that it keeps through the mesh.

use std::fmt::Write;

use http::HeaderMap;
use http::header::HeaderValue;

/// The header.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// Gives a request without an id a new one, a random UUID.
pub(crate) fn ensure(headers: &mut HeaderMap) {
    if headers.get(REQUEST_ID).is_none_or(HeaderValue::is_empty)
        && let Ok(id) = HeaderValue::try_from(random_uuid())
    {
        headers.insert(REQUEST_ID, id);
    }
}

fn random_uuid() -> String {
    let random: u128 = rand::random();
    // Version 4, variant 1 (RFC 9562 §5.4).
    let bits = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let digits = format!("{bits:032x}");
    let mut text = String::with_capacity(36);
    for (index, part) in
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].iter().enumerate()
    {
        // Writing to a string does not fail.
        let _ = write!(text, "{}{part}", if index == 0 { "" } else { "-" });
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
