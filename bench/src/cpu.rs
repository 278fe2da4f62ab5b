//! What processes have used: CPU time and resident memory, from /proc.

use std::fs;

use anyhow::Context;

/// CPU seconds (user and system) of all these processes so far.
pub(crate) fn seconds(pids: &[u32]) -> anyhow::Result<f64> {
    pids.iter().map(|pid| seconds_of(*pid)).sum()
}

/// The largest resident memory among these processes, in MiB.
pub(crate) fn resident_mib(pids: &[u32]) -> anyhow::Result<f64> {
    let mut largest = 0.0_f64;
    for pid in pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("process {pid} is gone"))?;
        largest = largest.max(parse_resident(&status).context("no VmRSS in /proc status")? / 1024.0);
    }
    Ok(largest)
}

fn seconds_of(pid: u32) -> anyhow::Result<f64> {
    let stat =
        fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    let ticks = parse_ticks(&stat).context("unreadable /proc stat")?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("no clock tick")?;
    Ok(ticks as f64 / per_second as f64)
}

/// utime + stime: the 14th and 15th field, counted after the name, which may hold anything.
fn parse_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn parse_resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_an_odd_name() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0 20 0 1";
        assert_eq!(parse_ticks(stat), Some(42));
        assert_eq!(parse_ticks("nonsense"), None);
    }

    #[test]
    fn resident_memory_is_in_kib() {
        assert_eq!(parse_resident("Name:\tx\nVmRSS:\t  2048 kB\n"), Some(2048.0));
        assert_eq!(parse_resident("Name:\tx\n"), None);
    }
}
