//! The authority on disk: made once, found again after a restart.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use mesh_identity::authority::{Authority, AuthorityPem, RootKey};
use tracing::info;

use super::plugged::{CERTIFICATE, CHAIN, KEY, ROOT};
use crate::files::{sync, write_atomically};

/// Ten years, as Istio's (wire.md §4.3).
pub(crate) const LIFETIME: Duration = Duration::from_hours(3650 * 24);

/// The authority kept in a directory under the usual names; a new one if there is none.
pub fn open(directory: &Path, trust_domain: &str) -> anyhow::Result<Authority> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let read = |name: &str| read(&directory.join(name));
    let (certificate, key, root) = (read(CERTIFICATE)?, read(KEY)?, read(ROOT)?);
    let (Some(certificate), Some(key), Some(root)) = (&certificate, &key, &root) else {
        if certificate.is_some() || key.is_some() || root.is_some() {
            bail!(
                "{} holds a part of a certificate authority; it needs {CERTIFICATE}, {KEY} and {ROOT}, \
                 or none of them to have a new one made",
                directory.display()
            );
        }
        return make(directory, trust_domain);
    };
    let chain = read(CHAIN)?.unwrap_or_default();
    let files = AuthorityPem { certificate, key, chain: &chain, root };
    Authority::load(&files).with_context(|| format!("in {}", directory.display()))
}

fn make(directory: &Path, trust_domain: &str) -> anyhow::Result<Authority> {
    let authority = Authority::self_signed(trust_domain, LIFETIME, RootKey::Ecdsa)?;
    let write = |name: &str, content: &str, mode| {
        let path = directory.join(name);
        write_atomically(&path, content.as_bytes(), mode)
            .and_then(|()| sync(&path))
            .with_context(|| format!("cannot write {}", path.display()))
    };
    write(KEY, &authority.key_pem(), 0o600)?;
    write(CERTIFICATE, authority.certificate_pem(), 0o644)?;
    // The last: whoever waits for the root finds everything else in place.
    write(ROOT, authority.root_pem(), 0o644)?;
    info!("made a new certificate authority in {}", directory.display());
    Ok(authority)
}

fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_authority_is_made_once_with_a_private_key_nobody_else_can_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/ca");
        let made = open(&path, "cluster.local").unwrap();
        let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(KEY), mode(ROOT)), (0o600, 0o644));
        let again = open(&path, "cluster.local").unwrap();
        assert_eq!(made.root_pem(), again.root_pem());
        assert_eq!(made.key_pem(), again.key_pem());
    }

    #[test]
    fn a_part_of_an_authority_is_refused_with_the_way_out() {
        for missing in [CERTIFICATE, KEY, ROOT] {
            let directory = tempfile::tempdir().unwrap();
            open(directory.path(), "cluster.local").unwrap();
            fs::remove_file(directory.path().join(missing)).unwrap();
            let error = open(directory.path(), "cluster.local").err().unwrap().to_string();
            assert!(error.contains("a part of a certificate authority"), "{error}");
        }
        let directory = tempfile::tempdir().unwrap();
        open(directory.path(), "cluster.local").unwrap();
        fs::write(directory.path().join(CERTIFICATE), "nonsense").unwrap();
        let error = format!("{:#}", open(directory.path(), "cluster.local").err().unwrap());
        assert!(error.contains(CERTIFICATE), "{error}");
    }
}
