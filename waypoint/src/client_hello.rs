//! The name that a client asks for as TLS begins (RFC 8446 §4.1.2, RFC 6066 §3): read from its first bytes, which
//! stay what they are. Nobody has vouched for them, so all that is believed of a length is that it may be too long.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::detect::Rewound;

/// A greeting that goes on longer is not looked into. Those with keys that quantum computers cannot break and all
/// extensions there are have some 2 KiB.
const LONGEST: usize = 16 * 1024;
/// What a record can carry.
const LONGEST_RECORD: usize = 1 << 14;
const LONGEST_NAME: usize = 253;

/// What the first bytes say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// Nothing yet.
    Unfinished,
    /// TLS that asks for this name, in lower case.
    Name(String),
    /// TLS without a name, or something else.
    Nothing,
}

/// Reads until the name is known, or known not to come: because something else is spoken, because the client says
/// nothing for so long, or because it ends.
pub(crate) async fn peek<S>(mut stream: S, patience: Duration) -> io::Result<(Option<String>, Rewound<S>)>
where
    S: AsyncRead + Unpin,
{
    let mut first = BytesMut::with_capacity(2048);
    let reading = async {
        loop {
            if stream.read_buf(&mut first).await? == 0 {
                return Ok::<_, io::Error>(None);
            }
            match read(&first) {
                Greeting::Unfinished if first.len() <= LONGEST => {}
                Greeting::Name(name) => return Ok(Some(name)),
                Greeting::Unfinished | Greeting::Nothing => return Ok(None),
            }
        }
    };
    let name = match tokio::time::timeout(patience, reading).await {
        Ok(read) => read?,
        Err(_) => None,
    };
    Ok((name, Rewound::new(first.freeze(), stream)))
}

/// The greeting may be spread over several records.
pub(crate) fn read(mut bytes: &[u8]) -> Greeting {
    let mut handshake = Vec::new();
    while let Some(&kind) = bytes.first() {
        // A handshake, of a version that is 3 whatever is meant.
        if kind != 22 || bytes.get(1).is_some_and(|version| *version != 3) {
            return Greeting::Nothing;
        }
        let Some(length) = bytes.get(3..5) else { break };
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if length == 0 || length > LONGEST_RECORD {
            return Greeting::Nothing;
        }
        let end = bytes.len().min(5 + length);
        handshake.extend_from_slice(&bytes[5..end]);
        bytes = &bytes[end..];
        // What follows it is none of our business.
        match read_handshake(&handshake) {
            Greeting::Unfinished => {}
            finished => return finished,
        }
    }
    Greeting::Unfinished
}

fn read_handshake(bytes: &[u8]) -> Greeting {
    let [kind, rest @ ..] = bytes else { return Greeting::Unfinished };
    if *kind != 1 {
        return Greeting::Nothing;
    }
    let [high, middle, low, body @ ..] = rest else { return Greeting::Unfinished };
    let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
    match body.get(..length) {
        _ if length > LONGEST => Greeting::Nothing,
        None => Greeting::Unfinished,
        Some(body) => find_name(body).map_or(Greeting::Nothing, Greeting::Name),
    }
}

/// The name in a whole ClientHello.
fn find_name(mut hello: &[u8]) -> Option<String> {
    // Version and random.
    take(&mut hello, 34)?;
    // Session, cipher suites, compression.
    take_short(&mut hello)?;
    take_long(&mut hello)?;
    take_short(&mut hello)?;
    let mut extensions = take_long(&mut hello)?;
    while !extensions.is_empty() {
        let kind = take(&mut extensions, 2)?;
        let mut content = take_long(&mut extensions)?;
        if kind == [0, 0] {
            let mut names = take_long(&mut content)?;
            while !names.is_empty() {
                let kind = take(&mut names, 1)?;
                let name = take_long(&mut names)?;
                if kind == [0] {
                    return host(name);
                }
            }
            return None;
        }
    }
    None
}

/// A name that can be compared: in lower case, without the dot that ends it.
fn host(name: &[u8]) -> Option<String> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.iter().all(is_name) {
        return None;
    }
    std::str::from_utf8(name).ok().map(str::to_ascii_lowercase)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// A field whose length is one byte.
fn take_short<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(take(bytes, 1)?[0]);
    take(bytes, length)
}

/// A field whose length is two bytes.
fn take_long<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take(bytes, 2)?;
    take(bytes, usize::from(u16::from_be_bytes([length[0], length[1]])))
}

#[cfg(test)]
mod tests;
