//! The rules of one pod's network namespace as text for `nft`, from settings alone.
//!
//! The text is one transaction: either all of it takes effect or nothing does,
//! and packets see the old rules or the new ones, never a part.

mod steered;
mod translated;

/// How one pod is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Take over plaintext connections to the pod.
    pub inbound: bool,
    /// Take over the pod's name lookups.
    pub dns: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { inbound: true, dns: true }
    }
}

/// How a pod's connections come to ztunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By routes and marks, without connection tracking.
    Steered,
    /// By translated addresses, which needs connection tracking and takes new connections only.
    Translated,
}

/// Only what begins is taken over: connections from before capture stay as they are, which
/// connection tracking, that begins with the rules, would take for new ones.
const BEGINS: &str = "tcp flags & (syn | ack) == syn";
/// The node's probes come from these, and pass a pod that takes nothing else.
pub(crate) const PROBE_SOURCES: [(&str, &str); 2] =
    [("ip", "169.254.7.127"), ("ip6", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff")];

/// The transaction that puts exactly these rules in place, whatever was there of ours before.
pub fn ruleset(settings: &Settings, way: Way) -> String {
    match way {
        Way::Steered => without(&translated::TABLES) + &steered::ruleset(settings),
        Way::Translated => without(&[steered::TABLE]) + &translated::ruleset(settings),
    }
}

/// The transaction that removes every rule of ours; nothing to remove is no failure.
pub fn removal() -> String {
    without(&[steered::TABLE]) + &without(&translated::TABLES)
}

fn without(tables: &[&str]) -> String {
    let lines = tables.iter().map(|table| format!("add table inet {table}\ndelete table inet {table}\n"));
    lines.collect()
}

#[cfg(test)]
mod tests;
