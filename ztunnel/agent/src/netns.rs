//! Finding the network namespaces of pods that run already, by the node's
//! processes: a process of a pod is in a control group that carries the pod's UID.
//!
//! One pass finds the namespaces of all pods asked for. A process is held by its
//! directory while it is looked at, so a process ID that is used again meanwhile
//! cannot be mistaken for the one before.

mod cgroup;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use mesh_net::namespace::Namespace;

use crate::pod::Uid;

/// The namespace of every pod of `wanted` that has a process below `proc` outside
/// the node's own network. Of several the one of the pod's oldest process counts:
/// that is the sandbox, and a pod may make namespaces of its own later.
pub(crate) fn find(
    proc: &Path,
    own: &Namespace,
    wanted: &BTreeSet<Uid>,
) -> io::Result<BTreeMap<Uid, Namespace>> {
    let mut found: BTreeMap<Uid, (u64, Namespace)> = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    for entry in fs::read_dir(proc)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        // A process that is gone by now, or that cannot be looked at, is none of a pod that runs.
        let Some((uid, started, namespace)) = look_at(&entry.path(), wanted) else { continue };
        let older = found.get(&uid).is_none_or(|(before, _)| started < *before);
        if older && namespace != *own {
            found.insert(uid, (started, namespace));
        }
    }
    Ok(found.into_iter().map(|(uid, (_, namespace))| (uid, namespace)).collect())
}

/// Which pod of `wanted` a process belongs to, when it started, and its namespace.
fn look_at(process: &Path, wanted: &BTreeSet<Uid>) -> Option<(Uid, u64, Namespace)> {
    let held = File::open(process).ok()?;
    // Paths through the descriptor end at this very process or nowhere.
    let inside = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    let groups = fs::read_to_string(inside.join("cgroup")).ok()?;
    let uid = cgroup::pods(&groups).find(|uid| wanted.contains(uid))?;
    let started = start_time(&fs::read_to_string(inside.join("stat")).ok()?)?;
    let namespace = Namespace::open(inside.join("ns/net")).ok()?;
    Some((uid, started, namespace))
}

/// The 22nd field of `stat`; the second is a name that may hold anything.
fn start_time(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let stat = "12 (a) b) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_time(stat), Some(4711));
        assert_eq!(start_time("12 (short) R 1"), None);
    }

    #[test]
    fn cap_01_processes_of_the_nodes_own_network_are_no_pod() {
        let own = Namespace::current().unwrap();
        let wanted = BTreeSet::from(["0".repeat(36)]);
        assert!(find(Path::new("/proc"), &own, &wanted).unwrap().is_empty());
        assert!(find(Path::new("/nowhere"), &own, &wanted).is_err());
        assert!(find(Path::new("/nowhere"), &own, &BTreeSet::new()).unwrap().is_empty());
    }
}
