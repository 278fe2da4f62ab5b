//! What the fields of several messages have in common.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use prost::Message;

use super::DecodeError;
use crate::SmallMap;

/// No list is longer in a mesh that means well.
const MAX_ITEMS: usize = 16_384;

/// The message in `bytes`.
pub(super) fn parse_message<M: Message + Default>(bytes: &[u8]) -> Result<M, DecodeError> {
    M::decode(bytes).map_err(|error| DecodeError::new(format!("not a message of this type: {error}")))
}

/// Says which field a rejected value was in.
pub(super) fn at<T>(field: &str, decoded: Result<T, DecodeError>) -> Result<T, DecodeError> {
    decoded.map_err(|error| error.within(field))
}

/// Decodes the items of a repeated field.
pub(super) fn each<T, U, C: FromIterator<U>>(
    field: &str,
    items: Vec<T>,
    decode: impl Fn(T) -> Result<U, DecodeError>,
) -> Result<C, DecodeError> {
    if items.len() > MAX_ITEMS {
        return Err(
            DecodeError::new(format!("{} items, at most {MAX_ITEMS} are taken", items.len())).within(field)
        );
    }
    // As large as it has to be: collected in one go, a list would keep the memory of the wire's, which is larger.
    let mut decoded = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        decoded.push(decode(item).map_err(|error| error.within(&format!("{field}[{index}]")))?);
    }
    Ok(decoded.into_iter().collect())
}

/// A field that has to be there.
pub(super) fn required<T>(field: &str, value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or_else(|| DecodeError::new("missing").within(field))
}

/// A text that may not be empty.
pub(super) fn named(field: &str, text: &str) -> Result<Arc<str>, DecodeError> {
    if text.is_empty() { Err(DecodeError::new("empty").within(field)) } else { Ok(text.into()) }
}

/// A text or its default.
pub(super) fn text_or(text: &str, default: &str) -> Arc<str> {
    if text.is_empty() { default.into() } else { text.into() }
}

/// A text that is absent when empty.
pub(super) fn optional(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}

/// Back to what [`optional`] reads.
pub(super) fn or_empty(text: Option<&Arc<str>>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

pub(super) fn port(field: &str, number: u32) -> Result<u16, DecodeError> {
    u16::try_from(number).map_err(|_| DecodeError::new(format!("{number} is not a port")).within(field))
}

/// Entries by their ports; each port is there once.
pub(super) fn by_port<T>(field: &str, entries: Vec<(u16, T)>) -> Result<SmallMap<u16, T>, DecodeError> {
    let mut numbers = BTreeSet::new();
    if let Some((twice, _)) = entries.iter().find(|(number, _)| !numbers.insert(*number)) {
        return Err(DecodeError::new(format!("port {twice} is there twice")).within(field));
    }
    Ok(entries.into_iter().collect())
}

/// A share in per cent, a whole number.
pub(super) fn percent(field: &str, share: u32) -> Result<u32, DecodeError> {
    match share {
        0..=100 => Ok(share),
        _ => Err(DecodeError::new(format!("{share} is not a percentage")).within(field)),
    }
}

/// A share in per cent, fractions allowed.
pub(super) fn percent_of(field: &str, share: f64) -> Result<f64, DecodeError> {
    match (0.0..=100.0).contains(&share) {
        true => Ok(share),
        false => Err(DecodeError::new(format!("{share} is not a percentage")).within(field)),
    }
}

/// Whether a text is a token of HTTP: the name of a header or of a cookie.
pub(super) fn is_token(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(legal)
}

/// One of the numbers an enum has on the wire.
pub(super) fn known<E: TryFrom<i32>>(field: &str, number: i32) -> Result<E, DecodeError> {
    E::try_from(number)
        .map_err(|_| DecodeError::new(format!("{number} is not a value of this enum")).within(field))
}

pub(super) fn ip(bytes: &[u8]) -> Result<IpAddr, DecodeError> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        Ok(Ipv4Addr::from(v4).into())
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        Ok(Ipv6Addr::from(v6).into())
    } else {
        Err(DecodeError::new(format!("{} bytes, an IP address has 4 or 16", bytes.len())))
    }
}

pub(super) fn ip_bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// A block of addresses, its host bits cleared.
pub(super) fn cidr(bytes: &[u8], length: u32) -> Result<IpNet, DecodeError> {
    let ip = ip(bytes)?;
    u8::try_from(length)
        .ok()
        .and_then(|length| IpNet::new(ip, length).ok())
        .map(|net| net.trunc())
        .ok_or_else(|| DecodeError::new(format!("{length} is no prefix length for {ip}")))
}
