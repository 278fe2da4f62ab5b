//! The PROXY protocol: version 2 as a sandwiched waypoint reads it, with the addresses of
//! the connection and, in TLV 0xD0, the client's identity; both versions as backends ask for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;
const VERSION_2_PROXY: u8 = 0x21;
const VERSION_2_LOCAL: u8 = 0x20;
const STREAM_V4: u8 = 0x11;
const STREAM_V6: u8 = 0x21;
const TLV_IDENTITY: u8 = 0xD0;

/// SPIFFE allows no longer identity.
const LONGEST_IDENTITY: usize = 2048;
/// Header, IPv6 addresses, the longest identity and room for other TLVs.
const LONGEST_HEADER: usize = 4096;

/// What a header says about the connection behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source and destination; `None` when the proxy speaks for itself (LOCAL).
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// The source's identity as text, if it has one.
    pub identity: Option<String>,
}

/// Why bytes are not a header.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not enough bytes yet: read until there are this many and parse again.
    #[error("header is incomplete: {0} bytes needed")]
    Incomplete(usize),
    /// Never a header of ours.
    #[error("not a PROXY v2 header: {0}")]
    Invalid(&'static str),
}

/// The header of a connection from `source` to `destination`.
///
/// An identity longer than SPIFFE allows is left out.
pub fn header_v2(source: SocketAddr, destination: SocketAddr, identity: Option<&str>) -> Vec<u8> {
    let mut body = Vec::with_capacity(64);
    let family = match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            body.extend(source.octets());
            body.extend(destination.octets());
            STREAM_V4
        }
        (source, destination) => {
            body.extend(mapped(source).octets());
            body.extend(mapped(destination).octets());
            STREAM_V6
        }
    };
    body.extend(source.port().to_be_bytes());
    body.extend(destination.port().to_be_bytes());
    if let Some(identity) = identity.filter(|identity| identity.len() <= LONGEST_IDENTITY) {
        body.push(TLV_IDENTITY);
        body.extend((identity.len() as u16).to_be_bytes());
        body.extend(identity.as_bytes());
    }
    let mut header = Vec::with_capacity(FIXED + body.len());
    header.extend(SIGNATURE);
    header.extend([VERSION_2_PROXY, family]);
    header.extend((body.len() as u16).to_be_bytes());
    header.extend(body);
    header
}

/// The same in version 1: a line of text, which has no room for an identity.
pub fn header_v1(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let ports = format!("{} {}", source.port(), destination.port());
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            format!("PROXY TCP4 {source} {destination} {ports}\r\n")
        }
        (source, destination) => {
            format!("PROXY TCP6 {} {} {ports}\r\n", mapped(source), mapped(destination))
        }
    }
    .into_bytes()
}

/// Reads a header from the start of `input`; returns it and its length.
///
/// Never asks for more than 4 KiB, and refuses a wrong signature as soon as it
/// can be seen.
pub fn parse(input: &[u8]) -> Result<(Header, usize), ParseError> {
    let seen = input.len().min(SIGNATURE.len());
    if input[..seen] != SIGNATURE[..seen] {
        return Err(ParseError::Invalid("wrong signature"));
    }
    let Some((fixed, rest)) = input.split_first_chunk::<FIXED>() else {
        return Err(ParseError::Incomplete(FIXED));
    };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if FIXED + length > LONGEST_HEADER {
        return Err(ParseError::Invalid("longer than 4096 bytes"));
    }
    let body = rest.get(..length).ok_or(ParseError::Incomplete(FIXED + length))?;
    let header = match (fixed[12], fixed[13]) {
        (VERSION_2_LOCAL, _) => Header { addresses: None, identity: None },
        (VERSION_2_PROXY, STREAM_V4) => parse_body::<4>(body)?,
        (VERSION_2_PROXY, STREAM_V6) => parse_body::<16>(body)?,
        (VERSION_2_PROXY, _) => return Err(ParseError::Invalid("not a TCP connection over IP")),
        _ => return Err(ParseError::Invalid("unknown version or command")),
    };
    Ok((header, FIXED + length))
}

/// Addresses of `N` bytes each, two ports, TLVs.
fn parse_body<const N: usize>(body: &[u8]) -> Result<Header, ParseError>
where
    IpAddr: From<[u8; N]>,
{
    const SHORT: ParseError = ParseError::Invalid("shorter than its addresses");
    let (source, rest) = body.split_first_chunk::<N>().ok_or(SHORT)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(SHORT)?;
    let (ports, tlvs) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
    let source = SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes([ports[0], ports[1]]));
    let destination = SocketAddr::new(IpAddr::from(*destination), u16::from_be_bytes([ports[2], ports[3]]));
    Ok(Header { addresses: Some((source, destination)), identity: find_identity(tlvs)? })
}

fn find_identity(mut tlvs: &[u8]) -> Result<Option<String>, ParseError> {
    const SHORT: ParseError = ParseError::Invalid("a TLV is longer than the header");
    let mut identity = None;
    while !tlvs.is_empty() {
        let ([kind, high, low], rest) = tlvs.split_first_chunk::<3>().ok_or(SHORT)?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(SHORT)?;
        if *kind == TLV_IDENTITY {
            let text = str::from_utf8(value).map_err(|_| ParseError::Invalid("identity is not text"))?;
            if identity.replace(text.to_owned()).is_some() {
                return Err(ParseError::Invalid("two identities"));
            }
        }
        tlvs = rest;
    }
    Ok(identity)
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::to_ipv6_mapped(&v4),
        IpAddr::V6(v6) => v6,
    }
}

#[cfg(test)]
mod tests;
