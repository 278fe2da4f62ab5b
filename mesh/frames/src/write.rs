//! Frames to send. What is longer than a peer takes in one frame is split.

use crate::head::{ACK, END_HEADERS, END_STREAM, HEAD, Head, Kind};
use crate::reason::Reason;

/// The largest frame every peer takes (RFC 9113 §4.2); we write none larger.
const LARGEST: usize = 16_384;

fn frame(out: &mut Vec<u8>, kind: Kind, flags: u8, stream: u32, payload: &[u8]) {
    let head = Head { length: length_of(payload.len()), kind, flags, stream };
    out.extend_from_slice(&head.write());
    out.extend_from_slice(payload);
}

/// All callers stay below 2^24.
fn length_of(payload: usize) -> u32 {
    u32::try_from(payload).unwrap_or(u32::MAX) & 0x00ff_ffff
}

/// The head of a DATA frame without padding; its payload, at most 16,384 bytes, follows.
pub fn data_head(stream: u32, payload: usize, end: bool) -> [u8; HEAD] {
    let flags = if end { END_STREAM } else { 0 };
    Head { length: length_of(payload), kind: Kind::DATA, flags, stream }.write()
}

/// A header block, in as many frames as it needs.
pub fn headers(out: &mut Vec<u8>, stream: u32, block: &[u8], end: bool) {
    let end_stream = if end { END_STREAM } else { 0 };
    let (first, mut rest) = block.split_at(block.len().min(LARGEST));
    let end_headers = if rest.is_empty() { END_HEADERS } else { 0 };
    frame(out, Kind::HEADERS, end_stream | end_headers, stream, first);
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.len().min(LARGEST));
        let end_headers = if after.is_empty() { END_HEADERS } else { 0 };
        frame(out, Kind::CONTINUATION, end_headers, stream, part);
        rest = after;
    }
}

/// Ends a stream at once.
pub fn reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    frame(out, Kind::RST_STREAM, 0, stream, &reason.0.to_be_bytes());
}

/// What we keep to, as pairs of identifier and value (RFC 9113 §6.5.2).
pub fn settings(out: &mut Vec<u8>, values: &[(u16, u32)]) {
    let mut payload = Vec::with_capacity(values.len() * 6);
    for (identifier, value) in values {
        payload.extend_from_slice(&identifier.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    frame(out, Kind::SETTINGS, 0, 0, &payload);
}

/// Says that the peer's settings are kept to from here on.
pub fn settings_ack(out: &mut Vec<u8>) {
    frame(out, Kind::SETTINGS, ACK, 0, &[]);
}

/// Asks whether the peer is there.
pub fn ping(out: &mut Vec<u8>, payload: [u8; 8]) {
    frame(out, Kind::PING, 0, 0, &payload);
}

/// Answers that question.
pub fn pong(out: &mut Vec<u8>, payload: [u8; 8]) {
    frame(out, Kind::PING, ACK, 0, &payload);
}

/// Begins the end of a connection: streams after `last` were not looked at.
pub fn go_away(out: &mut Vec<u8>, last: u32, reason: Reason) {
    let mut payload = [0; 8];
    payload[..4].copy_from_slice(&last.to_be_bytes());
    payload[4..].copy_from_slice(&reason.0.to_be_bytes());
    frame(out, Kind::GOAWAY, 0, 0, &payload);
}

/// Allows so many more bytes on a stream, or with 0 on the connection.
pub fn window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    frame(out, Kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
}
