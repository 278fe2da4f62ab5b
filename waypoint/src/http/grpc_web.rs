//! gRPC-web, which pages in browsers speak because they get at neither frames nor trailers of HTTP/2: here it becomes
//! gRPC, and what a backend answers becomes gRPC-web again. The status comes in the body, behind all messages.

mod request;
mod text;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, TE, TRAILER};
use http_body::Frame;

use super::normalise::is_grpc;

pub(crate) use request::ClientBody;
#[cfg(fuzzing)]
pub(crate) use text::Decoder;

/// What a frame begins with that holds trailers.
const TRAILERS: u8 = 0x80;

/// The form in which a client speaks gRPC-web.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// Its messages come in base64.
    text_question: bool,
    /// It wants those for it in base64.
    text_answer: bool,
}

/// Makes the head of a request in gRPC-web one of gRPC; none if it is something else.
pub(crate) fn accept(headers: &mut HeaderMap) -> Option<Form> {
    let (text_question, rest) = headers.get(CONTENT_TYPE).and_then(|it| form_in(it.as_bytes()))?;
    let plain = HeaderValue::from_bytes(&[b"application/grpc", rest].concat()).ok()?;
    let accepted =
        headers.get_all(ACCEPT).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let wanted = accepted.map(<[u8]>::trim_ascii).find_map(form_in);
    // Who says nothing of it is answered in kind.
    let text_answer = wanted.map_or(text_question, |(text, _)| text);
    headers.insert(CONTENT_TYPE, plain);
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if text_question {
        headers.remove(CONTENT_LENGTH);
    }
    Some(Form { text_question, text_answer })
}

/// Whether a type of content is gRPC-web in base64, and what follows its name; none if it is not gRPC-web.
fn form_in(kind: &[u8]) -> Option<(bool, &[u8])> {
    let rest = kind.strip_prefix(b"application/grpc-web")?;
    let (text, rest) = match rest.strip_prefix(b"-text") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    matches!(rest.first(), None | Some(b'+' | b';')).then_some((text, rest))
}

impl Form {
    /// Makes the head of a response in gRPC one of gRPC-web. False if it is no gRPC: then it stays what it is.
    pub(crate) fn answer(self, headers: &mut HeaderMap) -> bool {
        if !is_grpc(headers) {
            return false;
        }
        let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        // What a name alone means is said.
        let rest = match kind.strip_prefix(b"application/grpc") {
            Some(rest) if rest.starts_with(b"+") => rest,
            _ => b"+proto",
        };
        let name: &[u8] =
            if self.text_answer { b"application/grpc-web-text" } else { b"application/grpc-web" };
        if let Ok(kind) = HeaderValue::from_bytes(&[name, rest].concat()) {
            headers.insert(CONTENT_TYPE, kind);
        }
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRAILER);
        true
    }

    /// A part of a response in gRPC as its client reads it. Parts in base64 stand each for itself, so none has to wait
    /// for the next.
    pub(crate) fn translate(self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let bytes = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => trailers_frame(&trailers),
                Err(other) => return other,
            },
        };
        Frame::data(if self.text_answer { STANDARD.encode(bytes).into() } else { bytes })
    }
}

/// Trailers as the last frame of a body.
fn trailers_frame(trailers: &HeaderMap) -> Bytes {
    let mut lines = BytesMut::new();
    for (name, value) in trailers {
        for part in [name.as_str().as_bytes(), b":", value.as_bytes(), b"\r\n"] {
            lines.put_slice(part);
        }
    }
    let mut frame = BytesMut::with_capacity(5 + lines.len());
    frame.put_u8(TRAILERS);
    // Far from this: what trailers may take is bounded where they are read.
    frame.put_u32(u32::try_from(lines.len()).unwrap_or(u32::MAX));
    frame.put_slice(&lines);
    frame.freeze()
}

#[cfg(test)]
mod tests;
