//! How a connection or request ended, in the short forms of labels and logs.

use std::fmt;

/// Why a connection failed (TEL-09).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResponseFlag {
    /// For no reason that has a flag.
    None,
    /// A policy denied it.
    Denied,
    /// The upstream could not be connected to.
    ConnectFailure,
    /// TLS failed.
    TlsFailure,
    /// HTTP/2 could not be set up.
    Http2HandshakeFailure,
    /// A network policy seems to be in the way.
    NetworkPolicy,
    /// There is no certificate to show.
    IdentityError,
    /// The peer's certificate is revoked.
    CertificateRevoked,
    /// No route takes it, or the one that does leads nowhere.
    NoRoute,
    /// A limit of the service's traffic was reached.
    Overflow,
}

impl ResponseFlag {
    /// As labels have it.
    pub fn as_str(self) -> &'static str {
        match self {
            ResponseFlag::None => "-",
            ResponseFlag::Denied => "DENY",
            ResponseFlag::ConnectFailure => "CONNECT",
            ResponseFlag::TlsFailure => "TLS_FAILURE",
            ResponseFlag::Http2HandshakeFailure => "H2_HANDSHAKE_FAILURE",
            ResponseFlag::NetworkPolicy => "NETWORK_POLICY",
            ResponseFlag::IdentityError => "IDENTITY_ERROR",
            ResponseFlag::CertificateRevoked => "CERT_REVOKED",
            ResponseFlag::NoRoute => "NR",
            ResponseFlag::Overflow => "UO",
        }
    }
}

/// What happened to a request at a waypoint; several things can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RequestFlags(u16);

/// In the order they are written.
const NAMES: [(RequestFlags, &str); 15] = [
    (RequestFlags::NO_HEALTHY_UPSTREAM, "UH"),
    (RequestFlags::UPSTREAM_TIMEOUT, "UT"),
    (RequestFlags::UPSTREAM_RESET, "UR"),
    (RequestFlags::UPSTREAM_CONNECT_FAILURE, "UF"),
    (RequestFlags::UPSTREAM_CLOSED, "UC"),
    (RequestFlags::UPSTREAM_OVERFLOW, "UO"),
    (RequestFlags::NO_ROUTE, "NR"),
    (RequestFlags::DELAY_INJECTED, "DI"),
    (RequestFlags::FAULT_INJECTED, "FI"),
    (RequestFlags::RATE_LIMITED, "RL"),
    (RequestFlags::DENIED, "UAEX"),
    (RequestFlags::RATE_LIMIT_ERROR, "RLSE"),
    (RequestFlags::DOWNSTREAM_CLOSED, "DC"),
    (RequestFlags::RETRIES_EXHAUSTED, "URX"),
    (RequestFlags::DOWNSTREAM_PROTOCOL_ERROR, "DPE"),
];

impl RequestFlags {
    /// Nothing.
    pub const NONE: RequestFlags = RequestFlags(0);
    /// UH: no endpoint could take it.
    pub const NO_HEALTHY_UPSTREAM: RequestFlags = RequestFlags(1);
    /// UT: it took too long.
    pub const UPSTREAM_TIMEOUT: RequestFlags = RequestFlags(1 << 1);
    /// UR: the backend reset it.
    pub const UPSTREAM_RESET: RequestFlags = RequestFlags(1 << 2);
    /// UF: the backend could not be connected to.
    pub const UPSTREAM_CONNECT_FAILURE: RequestFlags = RequestFlags(1 << 3);
    /// UC: the backend closed the connection.
    pub const UPSTREAM_CLOSED: RequestFlags = RequestFlags(1 << 4);
    /// UO: a limit of the backend's was reached.
    pub const UPSTREAM_OVERFLOW: RequestFlags = RequestFlags(1 << 5);
    /// NR: no rule matched.
    pub const NO_ROUTE: RequestFlags = RequestFlags(1 << 6);
    /// DI: it was delayed on purpose.
    pub const DELAY_INJECTED: RequestFlags = RequestFlags(1 << 7);
    /// FI: it was failed on purpose.
    pub const FAULT_INJECTED: RequestFlags = RequestFlags(1 << 8);
    /// UAEX: an external authorizer denied it.
    pub const DENIED: RequestFlags = RequestFlags(1 << 9);
    /// DC: the client went away.
    pub const DOWNSTREAM_CLOSED: RequestFlags = RequestFlags(1 << 10);
    /// URX: it was tried as often as allowed.
    pub const RETRIES_EXHAUSTED: RequestFlags = RequestFlags(1 << 11);
    /// DPE: the client did not speak HTTP.
    pub const DOWNSTREAM_PROTOCOL_ERROR: RequestFlags = RequestFlags(1 << 12);
    /// RL: it was beyond a limit of how many may pass.
    pub const RATE_LIMITED: RequestFlags = RequestFlags(1 << 13);
    /// RLSE: nobody could be asked whether it was.
    pub const RATE_LIMIT_ERROR: RequestFlags = RequestFlags(1 << 14);

    /// Adds what else happened.
    pub fn insert(&mut self, other: RequestFlags) {
        self.0 |= other.0;
    }
}

impl fmt::Display for RequestFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (_, name) in NAMES.iter().filter(|(flag, _)| self.0 & flag.0 != 0) {
            write!(f, "{separator}{name}")?;
            separator = ",";
        }
        if separator.is_empty() { f.write_str("-") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_written_together_in_a_fixed_order() {
        let mut flags = RequestFlags::NONE;
        assert_eq!(flags.to_string(), "-");
        flags.insert(RequestFlags::RETRIES_EXHAUSTED);
        flags.insert(RequestFlags::UPSTREAM_CONNECT_FAILURE);
        assert_eq!(flags.to_string(), "UF,URX");
        let all = NAMES.iter().fold(RequestFlags::NONE, |mut all, (flag, _)| {
            assert_eq!(all.0 & flag.0, 0, "flags do not overlap");
            all.insert(*flag);
            all
        });
        assert_eq!(all.to_string(), "UH,UT,UR,UF,UC,UO,NR,DI,FI,RL,UAEX,RLSE,DC,URX,DPE");
    }
}
