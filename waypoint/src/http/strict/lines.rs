//! The lines of a client's HTTP/1 messages, as far as they say where one message ends and the next begins. hyper parses
//! what they mean: what is misread here is at worst refused, or judged by hyper alone.

use memchr::memchr;

/// What is looked at of a line: enough for a length, or the size of a chunk.
const LONGEST: usize = 64;
const LENGTH: &[u8] = b"content-length";
const ENCODING: &[u8] = b"transfer-encoding";

/// What has come of a connection.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    next: Next,
    body: Body,
    begun: Begun,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Head,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
}

/// What the head that is being read says of its body.
#[derive(Clone, Copy, Debug, Default)]
struct Body {
    length: Option<u64>,
    encoded: bool,
}

/// The beginning of a line whose end has not come yet.
#[derive(Debug)]
struct Begun {
    bytes: [u8; LONGEST],
    /// How long it is, which may be more than is kept.
    length: usize,
    last: u8,
}

impl Default for Begun {
    fn default() -> Begun {
        Begun { bytes: [0; LONGEST], length: 0, last: 0 }
    }
}

/// A line without its end.
#[derive(Clone, Copy)]
struct Line<'a> {
    /// The first [`LONGEST`] bytes of it.
    begin: &'a [u8],
    length: usize,
}

impl Lines {
    /// Takes what comes next. Where a line ends that must not pass, the place of its line feed comes back, and
    /// nothing that follows may be taken.
    pub(crate) fn find_fault(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        loop {
            rest = self.skip_data(rest);
            let Some(end) = memchr(b'\n', rest) else {
                self.begun.go_on(rest);
                return None;
            };
            let (piece, after) = rest.split_at(end + 1);
            if self.end_line(piece).is_none() {
                return Some(bytes.len() - after.len() - 1);
            }
            rest = after;
        }
    }

    /// What is behind the data that has no lines.
    fn skip_data<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (Next::Body(left) | Next::Chunk(left)) = &mut self.next else { return bytes };
        let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        *left -= skipped as u64;
        if *left == 0 {
            self.next = if matches!(self.next, Next::Body(_)) { Next::Head } else { Next::ChunkEnd };
        }
        &bytes[skipped..]
    }

    /// Takes the last piece of a line. None if the line must not pass.
    fn end_line(&mut self, piece: &[u8]) -> Option<()> {
        if self.begun.length == 0 {
            let line = piece.strip_suffix(b"\r\n")?;
            return self.take(Line { begin: &line[..line.len().min(LONGEST)], length: line.len() });
        }
        self.begun.go_on(&piece[..piece.len() - 1]);
        let Begun { bytes, length, last } = std::mem::take(&mut self.begun);
        let length = (last == b'\r').then(|| length - 1)?;
        self.take(Line { begin: &bytes[..length.min(LONGEST)], length })
    }

    fn take(&mut self, line: Line<'_>) -> Option<()> {
        self.next = match self.next {
            // Of no line at all an empty one is the end too, and no request has come.
            Next::Head if line.length == 0 => match std::mem::take(&mut self.body) {
                Body { encoded: true, .. } => Next::ChunkSize,
                Body { length: Some(length @ 1..), .. } => Next::Body(length),
                Body { .. } => Next::Head,
            },
            Next::Head => {
                self.body.take(line)?;
                Next::Head
            }
            Next::ChunkSize => match chunk_size(line.begin)? {
                0 => Next::Trailers,
                size => Next::Chunk(size),
            },
            Next::ChunkEnd => (line.length == 0).then_some(Next::ChunkSize)?,
            Next::Trailers if line.length == 0 => Next::Head,
            Next::Trailers => Next::Trailers,
            data @ (Next::Body(_) | Next::Chunk(_)) => data,
        };
        Some(())
    }
}

impl Body {
    /// Takes a line of a head. None if not all servers would take the body for the same.
    fn take(&mut self, line: Line<'_>) -> Option<()> {
        if value_of(LENGTH, line.begin).is_some() {
            self.length = Some(length_in(line)?);
        } else if value_of(ENCODING, line.begin).is_some() {
            self.encoded = true;
        }
        (self.length.is_none() || !self.encoded).then_some(())
    }
}

impl Begun {
    fn go_on(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        if let Some(room) = self.bytes.get_mut(self.length..) {
            let taken = room.len().min(bytes.len());
            room[..taken].copy_from_slice(&bytes[..taken]);
        }
        self.length = self.length.saturating_add(bytes.len());
        self.last = *last;
    }
}

/// What a line says, if it is the header of this name.
fn value_of<'a>(name: &[u8], line: &'a [u8]) -> Option<&'a [u8]> {
    let named = line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name);
    named.then(|| &line[name.len() + 1..])
}

fn length_in(line: Line<'_>) -> Option<u64> {
    let digits = value_of(LENGTH, line.begin).filter(|_| line.length <= LONGEST)?.trim_ascii();
    number(digits, 10)
}

/// The size in a chunk's first line, whatever extensions follow.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| b"; \t".contains(byte));
    // What is longer than is looked at has no size that ends.
    let digits = &line[..end.or((line.len() < LONGEST).then_some(line.len()))?];
    number(digits, 16)
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    // What is parsed could begin with a plus.
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    u64::from_str_radix(digits, radix).ok().filter(|_| plain)
}
