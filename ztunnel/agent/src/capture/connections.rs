//! Whether a pod has connections that were there before capture.

use std::fs;
use std::io;

use mesh_net::namespace::Namespace;

/// States of include/net/tcp_states.h in which nothing more comes from an application.
const QUIET: [&str; 3] = ["06", "07", "0A"];
/// The HBONE port in hexadecimal, as the kernel lists it.
const HBONE: &str = "3AA0";

/// Whether there are connections that a change of routes would cut: not tunnels,
/// which ztunnel's mark keeps apart, and not those of the pod with itself.
pub(super) fn has_connections(namespace: &Namespace) -> io::Result<bool> {
    namespace.run(|| {
        let v4 = fs::read_to_string("/proc/thread-self/net/tcp")?;
        // Absent without IPv6.
        let v6 = fs::read_to_string("/proc/thread-self/net/tcp6").unwrap_or_default();
        Ok([v4, v6].iter().any(|list| list.lines().skip(1).any(is_in_the_way)))
    })
}

/// `line` is one of /proc/net/tcp: number, local address, remote address, state, ….
/// One that is not understood counts.
fn is_in_the_way(line: &str) -> bool {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (Some(local), Some(remote), Some(state)) = (fields.next(), fields.next(), fields.next()) else {
        return true;
    };
    let (Some((local_ip, local_port)), Some((remote_ip, remote_port))) =
        (local.split_once(':'), remote.split_once(':'))
    else {
        return true;
    };
    !(QUIET.contains(&state) || local_port == HBONE || remote_port == HBONE || local_ip == remote_ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_live_connections_with_others_count() {
        let line = |rest: &str| format!("   1: {rest} 00000000:00000000 00:00000000 00000000 0 0 1 1 0 20 4");
        let cases = [
            ("0100007F:1F90 0100007F:C350 01", false, "with itself"),
            ("00000000:1F90 00000000:0000 0A", false, "a listener"),
            ("0201F40A:1F90 0301F40A:C350 06", false, "over"),
            ("0201F40A:1F90 0301F40A:C350 01", true, "established"),
            ("0201F40A:1F90 0301F40A:C350 02", true, "being opened"),
            ("0201F40A:1F90 0301F40A:C350 08", true, "closed by the other side alone"),
            ("0201F40A:3AA0 0301F40A:C350 01", false, "a tunnel"),
            ("0201F40A:C350 0301F40A:3AA0 01", false, "a tunnel"),
        ];
        for (fields, expected, what) in cases {
            assert_eq!(is_in_the_way(&line(fields)), expected, "{what}");
        }
        assert!(is_in_the_way("   1: nonsense"));
    }
}
