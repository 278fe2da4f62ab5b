//! The lines of HTTP/1 messages at a waypoint: where a connection is stopped does not depend on the pieces it comes
//! in, and no head passes that has a bare line feed in it, or a length beside an encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waypoint::fuzzing::refused_line;

fuzz_target!(|data: &[u8]| {
    let Some((size, bytes)) = data.split_first() else { return };
    let whole = refused_line([bytes]);
    assert_eq!(refused_line(bytes.chunks(usize::from(*size).max(1))), whole, "in pieces of {size}");
    let passed = &bytes[..whole.unwrap_or(bytes.len())];
    if let Some(place) = whole {
        assert_eq!(bytes[place], b'\n', "what is refused is a line");
    }
    let Some(end) = passed.windows(4).position(|window| window == b"\r\n\r\n") else { return };
    let head = passed[..end].to_ascii_lowercase();
    let mut lines = head.split(|byte| *byte == b'\n').peekable();
    let (mut length, mut encoding) = (false, false);
    while let Some(line) = lines.next() {
        assert!(lines.peek().is_none() || line.ends_with(b"\r"), "a bare line feed has passed");
        // A head begins anew behind an empty line.
        (length, encoding) = match line {
            b"\r" => (false, false),
            _ => (
                length || line.starts_with(b"content-length:"),
                encoding || line.starts_with(b"transfer-encoding:"),
            ),
        };
        assert!(!(length && encoding), "a length and an encoding have passed");
    }
});
