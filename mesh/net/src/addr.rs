//! Socket addresses whose type says whose address they are, so that mixing up
//! two of them does not compile.

use std::fmt;
use std::net::SocketAddr;

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
}
