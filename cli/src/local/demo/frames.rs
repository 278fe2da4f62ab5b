//! What passes on a wire, taken apart: Ethernet, IPv4, TCP, and whether the bytes are records of TLS.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Most bytes kept of one direction of a connection.
const MAX_BYTES: usize = 4 << 20;
/// Most connections looked at.
const MAX_STREAMS: usize = 4096;
const IPV4: [u8; 2] = [0x08, 0x00];
const TCP: u8 = 6;
/// A record's type and length: change_cipher_spec, alert, handshake, application data.
const RECORD_TYPES: std::ops::RangeInclusive<u8> = 20..=23;
const MAX_RECORD: usize = (1 << 14) + 256;

/// One direction of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    /// The next byte's number.
    next: u32,
    pub(super) bytes: Vec<u8>,
}

/// What the bytes of a stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// So many whole records of TLS and nothing else.
    Tls(usize),
    Other,
}

impl Stream {
    /// Adds a frame's bytes to its stream. A frame is heard at each interface it passes; the same bytes
    /// are taken once.
    pub(super) fn take(streams: &mut Vec<Stream>, frame: &[u8]) {
        let Some((from, to, number, payload)) = segment(frame).filter(|it| !it.3.is_empty()) else { return };
        let known = streams.iter().position(|stream| stream.from == from && stream.to == to);
        if known.is_none() && streams.len() == MAX_STREAMS {
            return;
        }
        let at = known.unwrap_or_else(|| {
            streams.push(Stream { from, to, next: number, bytes: Vec::new() });
            streams.len() - 1
        });
        let stream = &mut streams[at];
        let known = stream.next.wrapping_sub(number) as usize;
        if known < payload.len() && stream.bytes.len() < MAX_BYTES {
            stream.bytes.extend(&payload[known..]);
            stream.next = number.wrapping_add(payload.len() as u32);
        }
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        self.bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// Whether everything from its first byte on is TLS; the last record may be cut off.
    pub(super) fn content(&self) -> Content {
        let mut rest = self.bytes.as_slice();
        let mut records = 0;
        while let [kind, 3, 0..=4, high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if !RECORD_TYPES.contains(kind) || length > MAX_RECORD {
                return Content::Other;
            }
            let Some(next) = after.get(length..) else { return Content::Tls(records) };
            rest = next;
            records += 1;
        }
        if rest.is_empty() || (rest.len() < 5 && RECORD_TYPES.contains(&rest[0])) {
            Content::Tls(records)
        } else {
            Content::Other
        }
    }
}

/// Addresses, number of the first byte, and payload of a TCP segment.
fn segment(frame: &[u8]) -> Option<(SocketAddrV4, SocketAddrV4, u32, &[u8])> {
    let packet = frame.get(14..).filter(|_| frame[12..14] == IPV4)?;
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
    if *packet.get(9)? != TCP {
        return None;
    }
    let address = |at: usize| -> Option<Ipv4Addr> {
        let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
        Some(octets.into())
    };
    // A segment that the kernel has yet to cut up may not tell its length.
    let end = if total == 0 { packet.len() } else { total.min(packet.len()) };
    let tcp = packet.get(header..end)?;
    let port = |at: usize| Some(u16::from_be_bytes(tcp.get(at..at + 2)?.try_into().ok()?));
    let number = u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?);
    let payload = tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)?;
    Some((
        SocketAddrV4::new(address(12)?, port(0)?),
        SocketAddrV4::new(address(16)?, port(2)?),
        number,
        payload,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(IPV4);
        frame.extend([0x45, 0]);
        frame.extend((40 + payload.len() as u16).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0x10, 0, 0x3a, 0xa0]);
        frame.extend(number.to_be_bytes());
        frame.extend([0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0]);
        frame.extend(payload);
        // Padding of short frames is not payload.
        frame.extend([0; 4]);
        frame
    }

    fn stream(segments: &[(u32, &[u8])]) -> Stream {
        let mut streams = Vec::new();
        for (number, payload) in segments {
            Stream::take(&mut streams, &frame(*number, payload));
        }
        assert_eq!(streams.len(), 1);
        streams.remove(0)
    }

    #[test]
    fn bytes_heard_twice_are_taken_once() {
        let stream = stream(&[(u32::MAX, b"ab"), (u32::MAX, b"ab"), (1, b"cd"), (0, b"bcd"), (1, b"cdef")]);
        assert_eq!(stream.bytes, b"abcdef");
        assert!(stream.contains("cde") && !stream.contains("ce"));
        assert_eq!(stream.to, "10.0.0.2:15008".parse().unwrap());
    }

    #[test]
    fn records_of_tls_are_told_from_other_bytes() {
        let record: &[u8] = &[23, 3, 3, 0, 2, 7, 7];
        let twice = [record, record].concat();
        assert_eq!(stream(&[(1, &twice)]).content(), Content::Tls(2));
        assert_eq!(stream(&[(1, &twice[..9])]).content(), Content::Tls(1));
        assert_eq!(stream(&[(1, &twice[..12])]).content(), Content::Tls(1));
        assert_eq!(stream(&[(1, b"GET / HTTP/1.1\r\n")]).content(), Content::Other);
        assert_eq!(stream(&[(1, &[record, b"plain"].concat())]).content(), Content::Other);
        assert_eq!(stream(&[(1, &[23, 3, 3, 0xff, 0xff, 0])]).content(), Content::Other);
    }

    #[test]
    fn what_is_no_tcp_is_passed_over() {
        let mut streams = Vec::new();
        let good = frame(1, b"x");
        for length in 0..good.len() - 5 {
            Stream::take(&mut streams, &good[..length]);
        }
        let mut udp = good.clone();
        udp[23] = 17;
        Stream::take(&mut streams, &udp);
        assert_eq!(streams, []);
    }
}
