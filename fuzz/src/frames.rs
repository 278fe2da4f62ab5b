//! Frames of HTTP/2, to write seeds and to check what was written.

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The types of RFC 9113 §6.
const TYPES: u8 = 10;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header in HPACK, as it is: neither indexed nor compressed. Both parts are shorter than 127 bytes.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    [&[0, name.len() as u8][..], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

/// Panics unless these are whole frames of known types.
pub fn check(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_first_chunk::<9>().unwrap_or_else(|| panic!("a broken head"));
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        assert!(head[3] < TYPES, "a frame of type {}", head[3]);
        assert!(length <= rest.len(), "{} bytes of a frame of {length}", rest.len());
        bytes = &rest[length..];
    }
}
