//! Socket addresses whose type says whose address they are, so that mixing up
//! two of them does not compile.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

macro_rules! typed_address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub SocketAddr);

        impl $name {
            /// The address in [`canonical`] form.
            pub fn new(address: SocketAddr) -> Self {
                Self(canonical(address))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

typed_address! {
    /// The client that opened a connection, as it was before any proxy took over.
    OriginalSource
}
typed_address! {
    /// Where a client wanted to connect, before capture sent it elsewhere.
    OriginalDestination
}
typed_address! {
    /// Our own end of a socket.
    LocalAddress
}
typed_address! {
    /// The far end of a socket.
    PeerAddress
}

/// `::ffff:a.b.c.d` as `a.b.c.d`; every other address unchanged.
///
/// A wildcard IPv6 listener reports its IPv4 clients in the mapped form, which
/// equals no address anyone has configured.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What [`aside`] changes in the first byte. It makes no usual address of a pod one that packets
/// may not have: not of 10/8, 100.64/10, 172.16/12, 192.168/16, fc00::/7, 2000::/3 or fe80::/10.
const ASIDE: u8 = 0x90;

/// The address that stands for `ip` where ztunnel takes a plain connection to a steered pod, and for
/// that address `ip`.
///
/// Such a connection comes from the client, and ztunnel's to the application has to come from the same
/// client. Apart by an address, they can never be the same to the kernel, whatever ports they have.
pub fn aside(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() ^ (u32::from(ASIDE) << 24)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() ^ (u128::from(ASIDE) << 120)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_unmaps_ipv4_and_keeps_the_rest() {
        for (given, want) in [
            ("[::ffff:10.1.2.3]:80", "10.1.2.3:80"),
            ("10.1.2.3:80", "10.1.2.3:80"),
            ("[fd00::1]:80", "[fd00::1]:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            let given: SocketAddr = given.parse().unwrap();
            assert_eq!(OriginalDestination::new(given).to_string(), want);
        }
    }

    #[test]
    fn what_stands_for_a_pods_address_is_none_of_a_group_of_nobody_or_of_the_loopback() {
        for ip in ["10.0.0.1", "100.64.0.1", "172.16.9.1", "192.168.1.1", "fd00::1", "2001:db8::1", "fe80::1"]
        {
            let ip: IpAddr = ip.parse().unwrap();
            let other = aside(ip);
            assert!(!other.is_multicast() && !other.is_unspecified() && !other.is_loopback(), "{other}");
            assert!(other != ip && aside(other) == ip, "{other}");
        }
        assert_eq!(aside("10.244.1.2".parse().unwrap()).to_string(), "154.244.1.2");
        assert_eq!(aside("fd00::2".parse().unwrap()).to_string(), "6d00::2");
    }
}
