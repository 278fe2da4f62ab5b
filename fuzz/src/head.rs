//! The head of a request, written as HTTP/1 writes it.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

/// What a text says: `METHOD target [version]`, then headers, a line each. None
/// when no HTTP implementation would hand it on; lines that are no headers are left out.
///
/// A target `path at authority` is what HTTP/2 makes of two pseudo-headers.
pub fn read(text: &[u8]) -> Option<Parts> {
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let method = Method::from_bytes(words.next()?).ok()?;
    let target = words.next()?;
    let mut uri: Uri = Uri::try_from(target).ok()?;
    let mut version = Version::HTTP_11;
    match words.next() {
        Some(b"at") => {
            version = Version::HTTP_2;
            uri =
                Uri::builder().scheme("http").authority(words.next()?).path_and_query(target).build().ok()?;
        }
        Some(b"HTTP/2") => version = Version::HTTP_2,
        Some(b"HTTP/1.0") => version = Version::HTTP_10,
        _ => {}
    }
    let mut head = Request::new(()).into_parts().0;
    (head.method, head.uri, head.version) = (method, uri, version);
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            head.headers.append(name, value);
        }
    }
    Some(head)
}
