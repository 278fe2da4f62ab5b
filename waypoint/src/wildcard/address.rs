//! Addresses that mean this machine, its link or nobody in particular, however they are written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address cannot be somebody else's by whom one gets out: this machine's, its link's (where clouds keep
/// the credentials of machines), many receivers' or none's. Addresses of IPv4 inside those of IPv6 count too.
pub(super) fn is_own(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_own_v4(ip),
        IpAddr::V6(ip) => is_own_v6(ip) || embedded(ip).is_some_and(is_own_v4),
    }
}

fn is_own_v4(ip: Ipv4Addr) -> bool {
    let this_network = ip.octets()[0] == 0;
    this_network || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast()
}

fn is_own_v6(ip: Ipv6Addr) -> bool {
    ip.is_unspecified() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast()
}

/// The address of IPv4 that translators and relays make of one of IPv6: mapped, compatible, NAT64 (RFC 6052,
/// RFC 8215), 6to4.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let of = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) | (0x64, 0xff9b, 1, ..) => of(g, h),
        (0x2002, ..) => of(b, c),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eg_15_no_name_leads_to_this_machine_or_its_link() {
        for own in [
            "127.0.0.1",
            "127.8.9.1",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::127.0.0.1",
            "2002:7f00:1::",
        ] {
            assert!(is_own(own.parse().unwrap()), "{own}");
        }
        for other in
            ["10.0.0.1", "192.0.2.1", "2001:db8::1", "fd00::1", "64:ff9b::192.0.2.1", "2002:c000:201::"]
        {
            assert!(!is_own(other.parse().unwrap()), "{other}");
        }
    }
}
