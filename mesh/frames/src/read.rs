//! Frames as they arrive, in pieces of any size: DATA is handed on as it comes,
//! everything else once it is complete. What is buffered meanwhile is bounded.

use bytes::{Buf, Bytes};

use crate::head::{ACK, END_HEADERS, END_STREAM, HEAD, Head, Kind, PADDED, PRIORITY};
use crate::reason::{ProtocolError, Reason};

/// More settings than there are, some times over.
const MOST_SETTINGS: u32 = 64;
/// Frames one header block may come in: without a bound, empty ones could go on for ever.
const MOST_CONTINUATIONS: usize = 32;
/// What a GOAWAY may say for people to read.
const LONGEST_DEBUG: u32 = 1024;

/// What a peer has to keep to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The payload of a frame.
    pub frame: u32,
    /// A header block as it was sent, all its frames together.
    pub block: usize,
}

/// A setting's identifier and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting(pub u16, pub u32);

/// What arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A DATA frame, or a part of one.
    Data {
        /// Its stream.
        stream: u32,
        /// The payload.
        data: Bytes,
        /// What it takes from the windows: the payload and its padding.
        counted: u32,
        /// Whether the stream ends with it.
        end: bool,
    },
    /// A whole header block.
    Headers {
        /// Its stream.
        stream: u32,
        /// Still compressed.
        block: Bytes,
        /// Whether the stream ends with it.
        end: bool,
    },
    /// RST_STREAM.
    Reset {
        /// Its stream.
        stream: u32,
        /// Why.
        reason: Reason,
    },
    /// The peer's settings; they want an acknowledgement.
    Settings(Vec<Setting>),
    /// The peer keeps to ours.
    SettingsAck,
    /// A PING that wants an answer.
    Ping([u8; 8]),
    /// The answer to ours.
    Pong([u8; 8]),
    /// The peer begins to end the connection.
    GoAway {
        /// Later streams were not looked at.
        last: u32,
        /// Why.
        reason: Reason,
    },
    /// WINDOW_UPDATE.
    Window {
        /// Its stream, 0 for the connection.
        stream: u32,
        /// More than 0.
        increment: u32,
    },
}

/// Where in a frame we are.
#[derive(Debug)]
enum State {
    /// In its head.
    Head { bytes: [u8; HEAD], have: usize },
    /// In front of the length of a DATA frame's padding.
    PadLength(Head),
    /// In a DATA frame: what is to come of its payload and of its padding.
    Data { stream: u32, left: u32, padding: u32, end: bool },
    /// In a frame that is looked at when it is complete.
    Whole { head: Head, payload: Vec<u8> },
    /// In one of a type we do not know.
    Skip(u32),
}

const BEGIN: State = State::Head { bytes: [0; HEAD], have: 0 };

/// A header block whose last frame has not come.
#[derive(Debug)]
struct Block {
    stream: u32,
    end: bool,
    bytes: Vec<u8>,
    frames: usize,
}

/// Reads the frames of one direction of a connection.
#[derive(Debug)]
pub struct FrameReader {
    limits: Limits,
    state: State,
    block: Option<Block>,
}

impl FrameReader {
    /// At the beginning of a frame.
    pub fn new(limits: Limits) -> Self {
        FrameReader { limits, state: BEGIN, block: None }
    }

    /// Whether nothing of an unfinished frame is held.
    pub fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Head { have: 0, .. }) && self.block.is_none()
    }

    /// The next frame, or part of a DATA frame, in `input`; `None` once all of it is taken.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Frame>, ProtocolError> {
        loop {
            match &mut self.state {
                State::Head { bytes, have } => {
                    *have += take(input, &mut bytes[*have..]);
                    if *have < HEAD {
                        return Ok(None);
                    }
                    let head = Head::read(*bytes);
                    self.state = self.begin(head)?;
                    // A frame without payload is complete, though nothing may follow.
                    if let Some(frame) = self.finish_empty()? {
                        return Ok(Some(frame));
                    }
                }
                State::PadLength(_) | State::Data { .. } => {
                    let has_some = input.has_remaining();
                    return has_some.then(|| self.part_of_data(input)).transpose();
                }
                State::Whole { head, payload } => {
                    let missing = head.length as usize - payload.len();
                    let piece = input.split_to(missing.min(input.len()));
                    payload.extend_from_slice(&piece);
                    if payload.len() < head.length as usize {
                        return Ok(None);
                    }
                    let (head, payload) = (*head, std::mem::take(payload));
                    self.state = BEGIN;
                    if let Some(frame) = self.whole(head, payload)? {
                        return Ok(Some(frame));
                    }
                }
                State::Skip(left) => {
                    let skipped = part(input, *left);
                    input.advance(skipped);
                    *left -= length_of(skipped);
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = BEGIN;
                }
            }
        }
    }

    /// What has come of a DATA frame: its padding's length, or its payload and its padding.
    fn part_of_data(&mut self, input: &mut Bytes) -> Result<Frame, ProtocolError> {
        match &mut self.state {
            State::PadLength(head) => {
                let (stream, length, end) = (head.stream, head.length, head.has(END_STREAM));
                let padding = u32::from(input.get_u8());
                let left = (length - 1)
                    .checked_sub(padding)
                    .ok_or(ProtocolError::protocol("padding longer than its frame"))?;
                self.state = State::Data { stream, left, padding, end };
                // The length of the padding is part of it.
                let nothing_else = left + padding == 0;
                Ok(self.data_of(stream, Bytes::new(), 1, end && nothing_else))
            }
            State::Data { stream, left, padding, end } => {
                let (stream, end) = (*stream, *end);
                let data = input.split_to(part(input, *left));
                *left -= length(&data);
                let padded = part(input, *padding);
                input.advance(padded);
                *padding -= length_of(padded);
                let done = *left + *padding == 0;
                let counted = length(&data) + length_of(padded);
                Ok(self.data_of(stream, data, counted, end && done))
            }
            _ => Err(ProtocolError { reason: Reason::INTERNAL_ERROR, what: "no DATA frame is being read" }),
        }
    }

    /// A part of a DATA frame; the last one leads to the next frame.
    fn data_of(&mut self, stream: u32, data: Bytes, counted: u32, end: bool) -> Frame {
        if matches!(self.state, State::Data { left: 0, padding: 0, .. }) {
            self.state = BEGIN;
        }
        Frame::Data { stream, data, counted, end }
    }

    /// What a head lets us expect; errors are found before anything is buffered.
    fn begin(&self, head: Head) -> Result<State, ProtocolError> {
        if head.length > self.limits.frame {
            return Err(ProtocolError::size("a frame larger than we take"));
        }
        if self.block.is_some() && head.kind != Kind::CONTINUATION {
            return Err(ProtocolError::protocol("a header block that another frame interrupts"));
        }
        check(head)?;
        Ok(match head.kind {
            Kind::DATA if head.has(PADDED) && head.length == 0 => {
                return Err(ProtocolError::size("a padded frame without room for its padding"));
            }
            Kind::DATA if head.has(PADDED) => State::PadLength(head),
            Kind::DATA => {
                let (stream, left, end) = (head.stream, head.length, head.has(END_STREAM));
                State::Data { stream, left, padding: 0, end }
            }
            Kind::HEADERS | Kind::CONTINUATION => {
                let held = self.block.as_ref().map_or(0, |block| block.bytes.len());
                if held + head.length as usize > self.limits.block {
                    return Err(ProtocolError::excess("headers larger than we take"));
                }
                State::Whole { head, payload: Vec::new() }
            }
            Kind::RST_STREAM | Kind::SETTINGS | Kind::PING | Kind::GOAWAY | Kind::WINDOW_UPDATE => {
                State::Whole { head, payload: Vec::new() }
            }
            _ => State::Skip(head.length),
        })
    }

    fn finish_empty(&mut self) -> Result<Option<Frame>, ProtocolError> {
        match &self.state {
            State::Data { stream, left: 0, padding: 0, end } => {
                let (stream, end) = (*stream, *end);
                Ok(Some(self.data_of(stream, Bytes::new(), 0, end)))
            }
            State::Whole { head, .. } if head.length == 0 => {
                let head = *head;
                self.state = BEGIN;
                self.whole(head, Vec::new())
            }
            State::Skip(0) => {
                self.state = BEGIN;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Nothing for a header block that goes on.
    fn whole(&mut self, head: Head, payload: Vec<u8>) -> Result<Option<Frame>, ProtocolError> {
        match head.kind {
            Kind::HEADERS => {
                let bytes = without_decoration(head, payload)?;
                self.block = Some(Block { stream: head.stream, end: head.has(END_STREAM), bytes, frames: 0 });
                Ok(self.end_block(head))
            }
            Kind::CONTINUATION => {
                let block = self
                    .block
                    .as_mut()
                    .filter(|block| block.stream == head.stream)
                    .ok_or(ProtocolError::protocol("a CONTINUATION of nothing"))?;
                block.frames += 1;
                if block.frames > MOST_CONTINUATIONS {
                    return Err(ProtocolError::excess("headers in too many frames"));
                }
                block.bytes.extend_from_slice(&payload);
                Ok(self.end_block(head))
            }
            _ => control(head, &payload).map(Some),
        }
    }

    fn end_block(&mut self, head: Head) -> Option<Frame> {
        if !head.has(END_HEADERS) {
            return None;
        }
        self.block.take().map(|block| Frame::Headers {
            stream: block.stream,
            block: block.bytes.into(),
            end: block.end,
        })
    }
}

/// Whether a frame of this type may have this length and stream (RFC 9113 §6).
fn check(head: Head) -> Result<(), ProtocolError> {
    let on_stream = head.stream != 0;
    let (belongs, fits) = match head.kind {
        Kind::DATA | Kind::HEADERS | Kind::CONTINUATION => (on_stream, true),
        Kind::PRIORITY => (on_stream, head.length == 5),
        Kind::RST_STREAM => (on_stream, head.length == 4),
        Kind::SETTINGS if head.has(ACK) => (!on_stream, head.length == 0),
        Kind::SETTINGS => (!on_stream, head.length.is_multiple_of(6)),
        Kind::PING => (!on_stream, head.length == 8),
        Kind::GOAWAY => (!on_stream, head.length >= 8),
        Kind::WINDOW_UPDATE => (true, head.length == 4),
        Kind::PUSH_PROMISE => return Err(ProtocolError::protocol("a push nobody allowed")),
        _ => (true, true),
    };
    if !belongs {
        return Err(ProtocolError::protocol("a frame on a stream where its type does not belong"));
    }
    if !fits {
        return Err(ProtocolError::size("a frame of a length its type cannot have"));
    }
    if head.kind == Kind::SETTINGS && head.length > MOST_SETTINGS * 6 {
        return Err(ProtocolError::excess("more settings than there are"));
    }
    if head.kind == Kind::GOAWAY && head.length > 8 + LONGEST_DEBUG {
        return Err(ProtocolError::excess("a GOAWAY with a long text"));
    }
    Ok(())
}

/// A header block without padding and priority around it.
fn without_decoration(head: Head, mut payload: Vec<u8>) -> Result<Vec<u8>, ProtocolError> {
    let wrong = ProtocolError::protocol("padding longer than its frame");
    if head.has(PADDED) {
        let padding = usize::from(*payload.first().ok_or(wrong)?);
        let kept = payload.len().checked_sub(padding).filter(|kept| *kept > 0).ok_or(wrong)?;
        payload.truncate(kept);
        payload.remove(0);
    }
    if head.has(PRIORITY) {
        if payload.len() < 5 {
            return Err(ProtocolError::size("a priority that is cut off"));
        }
        payload.drain(..5);
    }
    Ok(payload)
}

/// The frames of fixed form. Their lengths have been checked.
fn control(head: Head, payload: &[u8]) -> Result<Frame, ProtocolError> {
    let number = |at: usize| {
        let bytes = payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).ok_or(ProtocolError::size("a frame that is cut off"))
    };
    let opaque = || payload.try_into().map_err(|_| ProtocolError::size("a PING of another length"));
    let stream = head.stream;
    Ok(match head.kind {
        Kind::RST_STREAM => Frame::Reset { stream, reason: Reason(number(0)?) },
        Kind::SETTINGS if head.has(ACK) => Frame::SettingsAck,
        Kind::SETTINGS => {
            let pairs = payload.chunks_exact(6);
            Frame::Settings(pairs.map(|mut pair| Setting(pair.get_u16(), pair.get_u32())).collect())
        }
        Kind::PING if head.has(ACK) => Frame::Pong(opaque()?),
        Kind::PING => Frame::Ping(opaque()?),
        Kind::GOAWAY => Frame::GoAway { last: number(0)? & 0x7fff_ffff, reason: Reason(number(4)?) },
        _ => match number(0)? & 0x7fff_ffff {
            0 => return Err(ProtocolError::protocol("a WINDOW_UPDATE of nothing")),
            increment => Frame::Window { stream, increment },
        },
    })
}

/// Fills `place` from the input; how much came.
fn take(input: &mut Bytes, place: &mut [u8]) -> usize {
    let taken = place.len().min(input.len());
    input.copy_to_slice(&mut place[..taken]);
    taken
}

/// How much of `left` bytes is there.
fn part(input: &Bytes, left: u32) -> usize {
    input.len().min(left as usize)
}

fn length(bytes: &Bytes) -> u32 {
    length_of(bytes.len())
}

/// Parts of a frame are below 2^24.
fn length_of(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
