//! What a CONNECT asks for: the `:authority`, an address or a host name with a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

/// A host name as DNS has it (RFC 1035), its limits included.
const LONGEST_HOSTNAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Where a tunnel leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `ip:port`, IPv6 in brackets.
    Address(SocketAddr),
    /// `hostname:port`, the name in lower case.
    Hostname(Arc<str>, u16),
}

/// Why a text is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// There is no port, or not one from 1 to 65535.
    #[error("the authority has no port from 1 to 65535")]
    Port,
    /// The host is neither an IP address nor a host name.
    #[error("the authority's host is neither an IP address (IPv6 in brackets) nor a host name")]
    Host,
}

impl Target {
    /// A host name and a port, if the name can be one.
    pub fn hostname(name: &str, port: u16) -> Result<Self, InvalidTarget> {
        if port == 0 {
            return Err(InvalidTarget::Port);
        }
        if !is_hostname(name) {
            return Err(InvalidTarget::Host);
        }
        Ok(Target::Hostname(name.to_ascii_lowercase().into(), port))
    }

    /// The port asked for.
    pub fn port(&self) -> u16 {
        match self {
            Target::Address(address) => address.port(),
            Target::Hostname(_, port) => *port,
        }
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidTarget::Port)?;
        let port = parse_port(port)?;
        if let Some(inner) = host.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(InvalidTarget::Host)?;
            let ip: Ipv6Addr = inner.parse().map_err(|_| InvalidTarget::Host)?;
            // One address has one spelling, or checks against it could be passed by another.
            return Ok(Target::Address(SocketAddr::new(IpAddr::V6(ip).to_canonical(), port)));
        }
        match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => Ok(Target::Address(SocketAddr::new(ip.into(), port))),
            Ok(IpAddr::V6(_)) => Err(InvalidTarget::Host),
            Err(_) => Target::hostname(host, port),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Address(address) => address.fmt(f),
            Target::Hostname(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Target::Address(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

fn parse_port(text: &str) -> Result<u16, InvalidTarget> {
    // Signs and white space are not digits, though some parsers take them.
    if text.len() > 5 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidTarget::Port);
    }
    text.parse().ok().filter(|port| *port != 0).ok_or(InvalidTarget::Port)
}

fn is_hostname(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    // `1.2.3` or `010.0.0.1` would be an address to some and a name to others.
    let looks_like_address =
        name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= LONGEST_HOSTNAME && name.split('.').all(is_label) && !looks_like_address
}

#[cfg(test)]
mod tests;
