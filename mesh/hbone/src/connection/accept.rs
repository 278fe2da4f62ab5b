//! Header blocks: requests to us, answers to us, and trailers, which only end.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mesh_frames::{HpackError, ProtocolError, Reason};

use super::stream::StreamRef;
use super::streams::Stream;
use super::{Connection, Role, State};
use crate::error::Broken;

/// What each field counts beyond its bytes (RFC 9113 §6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// A request somebody has to look at.
pub(crate) struct Request {
    pub(crate) stream: StreamRef,
    pub(crate) method: Method,
    pub(crate) authority: Option<String>,
    pub(crate) headers: HeaderMap,
    /// There was more of it than we take; `headers` is not all.
    pub(crate) too_large: bool,
}

/// A header block, read.
#[derive(Default)]
struct Fields {
    method: Option<Method>,
    status: Option<u16>,
    authority: Option<String>,
    headers: HeaderMap,
    /// A `:path`, `:scheme` or `:protocol`, which a plain CONNECT never has (RFC 9113 §8.5).
    describes_resource: bool,
    regular: bool,
    malformed: bool,
    size: usize,
}

impl Fields {
    /// Takes a field over; what is beyond the limit only counts.
    fn add(&mut self, name: &[u8], value: &[u8], limit: usize) {
        self.size = self.size.saturating_add(name.len() + value.len() + FIELD_OVERHEAD);
        if self.size > limit {
            return;
        }
        match name {
            [b':', ..] if self.regular => self.malformed = true,
            b":method" => set(&mut self.method, Method::from_bytes(value).ok(), &mut self.malformed),
            b":authority" => {
                let text = std::str::from_utf8(value).ok().map(str::to_owned);
                set(&mut self.authority, text, &mut self.malformed);
            }
            b":status" => {
                let number = std::str::from_utf8(value).ok().filter(|text| text.len() == 3);
                set(&mut self.status, number.and_then(|text| text.parse().ok()), &mut self.malformed);
            }
            b":path" | b":scheme" | b":protocol" => self.describes_resource = true,
            [b':', ..] => self.malformed = true,
            _ => {
                self.regular = true;
                // Upper case is as malformed as what is no name at all (RFC 9113 §8.2.1).
                let upper = name.iter().any(u8::is_ascii_uppercase);
                match (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                    (Ok(name), Ok(value)) if !upper => {
                        self.headers.append(name, value);
                    }
                    _ => self.malformed = true,
                }
            }
        }
    }
}

/// Pseudo-header fields stand there once.
fn set<T>(place: &mut Option<T>, value: Option<T>, malformed: &mut bool) {
    if place.is_some() || value.is_none() {
        *malformed = true;
    }
    *place = value;
}

impl State {
    pub(super) fn receive_headers(
        &mut self,
        connection: &Arc<Connection>,
        id: u32,
        block: &[u8],
        end: bool,
    ) -> Result<(), ProtocolError> {
        // Always, or what comes later could not be read.
        let fields = self.read_fields(block)?;
        if self.streams.find(id).is_some() {
            self.receive_more(id, fields, end);
            return Ok(());
        }
        if !self.streams.is_idle(id) {
            // A stream of before: its reset and these headers have crossed.
            return Ok(());
        }
        if self.role == Role::Client || self.streams.is_local(id) {
            return Err(ProtocolError::protocol("headers on a stream nobody opened"));
        }
        self.streams.last_remote = id;
        self.receive_request(connection, id, fields, end);
        Ok(())
    }

    fn read_fields(&mut self, block: &[u8]) -> Result<Fields, ProtocolError> {
        let limit = self.limits.headers;
        let mut fields = Fields::default();
        self.decoder
            .decode(block, |name, value| fields.add(name, value, limit))
            .map_err(|error| ProtocolError { reason: Reason::COMPRESSION_ERROR, what: what(error) })?;
        Ok(fields)
    }

    fn receive_request(&mut self, connection: &Arc<Connection>, id: u32, fields: Fields, end: bool) {
        let malformed =
            fields.malformed || (fields.describes_resource && fields.method == Some(Method::CONNECT));
        if self.goodbye.is_final() || self.streams.open() >= self.limits.streams {
            return self.reset(id, Reason::REFUSED_STREAM);
        }
        let too_large = fields.size > self.limits.headers;
        let method = match fields.method {
            Some(method) if !malformed => method,
            // It may be beyond what was looked at.
            None if too_large && !malformed => Method::CONNECT,
            _ => return self.reset(id, Reason::PROTOCOL_ERROR),
        };
        let mut stream = Stream::new(self.peer.stream_window, self.limits.stream_window, true);
        stream.remote_ended = end;
        self.streams.insert(id, stream);
        let (authority, headers) = (fields.authority, fields.headers);
        let stream = StreamRef::new(connection, id);
        self.accepted.push_back(Request { stream, method, authority, headers, too_large });
    }

    /// An answer, or trailers.
    fn receive_more(&mut self, id: u32, fields: Fields, end: bool) {
        let too_large = fields.size > self.limits.headers;
        let Some(stream) = self.streams.find(id) else { return };
        if stream.remote_ended || stream.broken.is_some() {
            return;
        }
        let informational = matches!(fields.status, Some(100..200)) && !end;
        let fits = match (stream.begun, fields.status) {
            (true, _) => end,
            (false, status) => status.is_some() && !too_large,
        };
        if fields.malformed || !fits {
            stream.break_off(Broken::Malformed);
            return self.reset(id, Reason::PROTOCOL_ERROR);
        }
        if informational && !stream.begun {
            return;
        }
        if let (false, Some(status)) = (stream.begun, fields.status) {
            stream.answer = Some((status, fields.headers));
            stream.begun = true;
        }
        stream.remote_ended = end;
        stream.wake_reader();
    }
}

fn what(error: HpackError) -> &'static str {
    match error {
        HpackError::CutOff => "a header block that is cut off",
        HpackError::TooLarge => "a header block with a number that is too large",
        HpackError::UnknownIndex => "a header block that names a field nobody sent",
        HpackError::TableSize => "a header block with a wrong change of the table's size",
        HpackError::Huffman => "a header block with a string that is not its code",
    }
}
