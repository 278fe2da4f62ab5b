//! A client of HTTP/2 that writes frames by hand, and so can break every rule.

use mesh_frames::{Decoder, Frame, FrameReader, Limits, PREFACE, Reason, encode_field};
use mesh_hbone::TunnelStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::mesh::{Mesh, eventually};

/// A connection behind a good greeting.
pub(super) struct Frames {
    stream: TunnelStream,
    reader: FrameReader,
    decoder: Decoder,
    input: bytes::Bytes,
}

/// What has become of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Answered(u16),
    Reset(Reason),
    /// With the whole connection.
    Goodbye(Reason),
    Cut,
}

impl Frames {
    pub(super) async fn open(mesh: &Mesh, port: u16) -> Frames {
        let stream = mesh.tunnel(mesh.target(port)).await.unwrap();
        let reader = FrameReader::new(Limits { frame: 1 << 20, block: 1 << 16 });
        let mut frames = Frames { stream, reader, decoder: Decoder::default(), input: bytes::Bytes::new() };
        frames.say(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await;
        frames
    }

    /// Whether all of it was taken; who is told off may be cut off in the middle.
    pub(super) async fn say(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// The next frame; none at the end of the connection.
    pub(super) async fn hear(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.reader.next(&mut self.input).unwrap() {
                return Some(frame);
            }
            let mut buffer = vec![0; 64 << 10];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.input = bytes::Bytes::copy_from_slice(&buffer[..count]),
            }
        }
    }

    /// How a stream ends, or begins to be answered.
    pub(super) async fn fate(&mut self, wanted: u32) -> Fate {
        loop {
            match self.hear().await {
                None => return Fate::Cut,
                Some(Frame::GoAway { reason, .. }) if reason != Reason::NO_ERROR => {
                    return Fate::Goodbye(reason);
                }
                Some(Frame::Reset { stream, reason }) if stream == wanted => return Fate::Reset(reason),
                Some(Frame::Headers { stream, block, .. }) => {
                    let mut status = 0;
                    let read = |name: &[u8], value: &[u8]| {
                        if name == b":status" {
                            status = std::str::from_utf8(value).unwrap().parse().unwrap();
                        }
                    };
                    self.decoder.decode(&block, read).unwrap();
                    if stream == wanted {
                        return Fate::Answered(status);
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// Why the connection was given up.
    pub(super) async fn farewell(&mut self) -> Option<Reason> {
        loop {
            match self.hear().await? {
                Frame::GoAway { reason, .. } if reason != Reason::NO_ERROR => return Some(reason),
                _ => {}
            }
        }
    }
}

/// Requests that could not be read, as metrics have them.
pub(super) async fn unreadable(mesh: &Mesh, code: u16, count: usize) {
    let wanted = [format!("response_code=\"{code}\""), "response_flags=\"DPE\"".to_owned()];
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    eventually(async || {
        let lines = mesh.metric("istio_requests_total", &wanted);
        lines.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum::<usize>() == count
    })
    .await;
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of these fields, whatever is in them.
pub(super) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    fields.iter().for_each(|(name, value)| encode_field(&mut block, name, value));
    block
}

/// A GET, and what else is to be in it.
pub(super) fn get(more: &[(&[u8], &[u8])]) -> Vec<u8> {
    let usual: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"reviews")];
    block(&[&usual, more].concat())
}
