//! The ports ztunnel listens on inside a pod's network namespace (wire.md §1).

/// Where the pod's own connections are captured.
pub(crate) const OUTBOUND: u16 = 15001;
/// Where plain connections to the pod are captured.
pub(crate) const INBOUND_PLAINTEXT: u16 = 15006;
/// Where other proxies connect.
pub(crate) const HBONE: u16 = 15008;

/// Where the pod's questions for names are captured, on its loopback addresses.
pub(crate) const DNS: u16 = 15053;

/// Nothing may be forwarded to these: ztunnel would be talking to itself (HB-11).
pub(crate) fn is_reserved(port: u16) -> bool {
    matches!(port, OUTBOUND | INBOUND_PLAINTEXT | HBONE | DNS)
}
