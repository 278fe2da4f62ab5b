//! Counts of what an echo server has seen, so that a test can ask whether a mirrored request arrived.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Distinct paths counted; what comes after shares one entry, so a scan cannot fill the memory.
const MAX_PATHS: usize = 256;
const OTHER: &str = "(other)";

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Stats {
    counts: Mutex<Counts>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Counts {
    http: u64,
    grpc: u64,
    tcp: u64,
    paths: BTreeMap<String, u64>,
}

impl Stats {
    fn change(&self, change: impl FnOnce(&mut Counts)) {
        // A panic cannot leave counts half-written: each change is one addition.
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// An HTTP request arrived.
    pub(super) fn http(&self, path: &str) {
        self.change(|counts| {
            counts.http += 1;
            count(&mut counts.paths, path);
        });
    }

    /// A gRPC call arrived.
    pub(super) fn grpc(&self, path: &str) {
        self.change(|counts| {
            counts.grpc += 1;
            count(&mut counts.paths, path);
        });
    }

    /// A TCP connection arrived.
    pub(super) fn tcp(&self) {
        self.change(|counts| counts.tcp += 1);
    }

    /// All counts as JSON.
    pub(super) fn to_json(&self) -> String {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        serde_json::to_string(&counts).unwrap_or_default()
    }
}

fn count(paths: &mut BTreeMap<String, u64>, path: &str) {
    let known = paths.contains_key(path) || paths.len() < MAX_PATHS;
    *paths.entry(if known { path } else { OTHER }.to_owned()).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_beyond_the_limit_share_an_entry() {
        let stats = Stats::default();
        for n in 0..(MAX_PATHS + 5) {
            stats.http(&format!("/{n}"));
        }
        stats.http("/0");
        let counts: serde_json::Value = serde_json::from_str(&stats.to_json()).unwrap();
        assert_eq!(counts["http"], MAX_PATHS + 6);
        assert_eq!(counts["paths"]["/0"], 2);
        assert_eq!(counts["paths"][OTHER], 5);
    }
}
