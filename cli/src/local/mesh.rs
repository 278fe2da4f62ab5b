//! One local mesh: its name, and the places on this machine that follow from the name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// Where the state of all meshes is.
const HOME: &str = "/run/adit";
/// Where named network namespaces are.
pub(super) const NETNS: &str = "/run/netns";

/// A local mesh. Two meshes share nothing but the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mesh {
    name: String,
    /// Where the state of all meshes is.
    home: PathBuf,
}

/// A text that cannot name a mesh.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} cannot name a mesh: use 1 to 16 letters a-z and digits")]
pub(super) struct InvalidName(String);

impl FromStr for Mesh {
    type Err = InvalidName;

    /// No dashes: what belongs to a mesh is found by `adit-<name>-`, which must not be the beginning of
    /// what belongs to another.
    fn from_str(name: &str) -> Result<Self, InvalidName> {
        let fits = (1..=16).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if fits {
            Ok(Mesh { name: name.to_owned(), home: HOME.into() })
        } else {
            Err(InvalidName(name.to_owned()))
        }
    }
}

impl fmt::Display for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Mesh {
    /// A mesh whose state is elsewhere.
    #[cfg(test)]
    pub(super) fn at(home: &Path) -> Self {
        Mesh { name: "test".to_owned(), home: home.to_owned() }
    }

    /// What the names of its network namespaces begin with.
    pub(super) fn prefix(&self) -> String {
        format!("adit-{}-", self.name)
    }

    /// The file of a named network namespace.
    pub(super) fn netns(&self, part: &str) -> PathBuf {
        Path::new(NETNS).join(format!("{}{part}", self.prefix()))
    }

    /// Held locked as long as the mesh is up or being taken down.
    pub(super) fn lock(&self) -> PathBuf {
        self.home.join(format!("{}.lock", self.name))
    }

    /// What the supervisor of a detached mesh prints.
    pub(super) fn supervisor_log(&self) -> PathBuf {
        self.home.join(format!("{}.log", self.name))
    }

    /// Everything else it keeps on disk.
    pub(super) fn root(&self) -> PathBuf {
        self.home.join(&self.name)
    }

    /// The supervisor's process id; valid while the lock is held.
    pub(super) fn pid(&self) -> PathBuf {
        self.root().join("pid")
    }

    /// Exists once everything is ready.
    pub(super) fn ready(&self) -> PathBuf {
        self.root().join("ready")
    }

    /// The user's objects, one a file.
    pub(super) fn manifests(&self) -> PathBuf {
        self.root().join("manifests")
    }

    /// ConfigMaps and Secrets: read for the environment of containers, of no concern to the controller.
    pub(super) fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    /// What the supervisor, as API server, adds: pods, and services with their addresses.
    pub(super) fn runtime(&self) -> PathBuf {
        self.root().join("runtime")
    }

    /// Statuses written by the controller.
    pub(super) fn status(&self) -> PathBuf {
        self.root().join("status")
    }

    /// The certificate authority.
    pub(super) fn ca(&self) -> PathBuf {
        self.root().join("ca")
    }

    /// Tokens of the proxies, and the key that verifies them.
    pub(super) fn tokens(&self) -> PathBuf {
        self.root().join("tokens")
    }

    /// The key that verifies tokens.
    pub(super) fn token_key(&self) -> PathBuf {
        self.tokens().join("issuer.pub.pem")
    }

    /// What programs and containers print.
    pub(super) fn logs(&self) -> PathBuf {
        self.root().join("logs")
    }

    /// What the node agent of a node reads and writes.
    pub(super) fn node(&self, node: &str) -> PathBuf {
        self.root().join("nodes").join(node)
    }

    /// `/etc/hosts` of pods, by uid.
    pub(super) fn hosts(&self) -> PathBuf {
        self.root().join("hosts")
    }

    /// How containers are started, for `exec`.
    pub(super) fn containers(&self) -> PathBuf {
        self.root().join("containers")
    }

    /// First in the path of containers; holds `adit`.
    pub(super) fn bin(&self) -> PathBuf {
        self.root().join("bin")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mesh_never_owns_what_belongs_to_another() {
        let mesh: Mesh = "demo".parse().unwrap();
        assert_eq!(mesh.netns("node-1"), Path::new("/run/netns/adit-demo-node-1"));
        for bad in ["", "a-b", "Demo", "../x", "a/b", "aaaaaaaaaaaaaaaaa", "ä"] {
            assert_eq!(bad.parse::<Mesh>(), Err(InvalidName(bad.to_owned())), "{bad}");
        }
    }
}
