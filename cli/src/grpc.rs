//! Unary gRPC messages with one text field: all that the echo and gRPC probes need, in a dozen lines
//! instead of generated code.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;

/// The content type.
pub(crate) const CONTENT: HeaderValue = HeaderValue::from_static("application/grpc");
/// The message of a health service that serves: field 1, a number, is 1.
pub(crate) const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";
/// Field 1, length-delimited.
const TAG: u8 = 0x0a;

/// `application/grpc`, also with a suffix such as `+proto`.
pub(crate) fn is_grpc(content_type: &HeaderValue) -> bool {
    content_type.as_bytes().starts_with(CONTENT.as_bytes())
}

/// A text as a framed message.
pub(crate) fn encode(text: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(text.len() + 6);
    if !text.is_empty() {
        message.put_u8(TAG);
        let mut length = text.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(text);
    }
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put(message);
    frame.freeze()
}

/// The text of a framed message; `None` if it is not one of ours.
pub(crate) fn decode(frame: &Bytes) -> Option<Bytes> {
    let (head, message) = (frame.get(..5)?, frame.slice(5..));
    let length = u32::from_be_bytes(head[1..5].try_into().ok()?) as usize;
    if head[0] != 0 || message.len() != length {
        return None;
    }
    if message.is_empty() {
        return Some(message);
    }
    let mut bytes = message.iter();
    if *bytes.next()? != TAG {
        return None;
    }
    let mut size = 0_usize;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.next()?;
        size |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let start = message.len() - bytes.len();
            return (bytes.len() == size).then(|| message.slice(start..));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        for length in [0, 1, 127, 128, 20_000] {
            let text = vec![b'x'; length];
            assert_eq!(decode(&encode(&text)).unwrap(), text, "{length}");
        }
    }

    #[test]
    fn garbage_is_not_decoded() {
        let good = encode(b"hello");
        for cut in 0..good.len() {
            assert_eq!(decode(&good.slice(..cut)), None, "{cut}");
        }
        for bad in
            [&b"\x01\0\0\0\x02\x0a\0"[..], b"\0\0\0\0\x02\x12\0", b"\0\0\0\0\x07\x0a\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(decode(&Bytes::from_static(bad)), None, "{bad:?}");
        }
    }
}
