//! An authority that somebody else made, as files in a directory or as the data of a Secret: read
//! whole, or refused with the name of what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, bail};
use mesh_identity::RevocationLists;
use mesh_identity::authority::{Authority, AuthorityPem};

/// The signing certificate.
pub const CERTIFICATE: &str = "ca-cert.pem";
/// Its key.
pub const KEY: &str = "ca-key.pem";
/// What leads from it to the root; may be empty.
pub const CHAIN: &str = "cert-chain.pem";
/// The roots to trust.
pub const ROOT: &str = "root-cert.pem";

/// Lists of what was revoked; they may be missing.
pub const REVOCATION_LISTS: &str = "ca-crl.pem";

/// Istio's names, and those of a TLS Secret as cert-manager fills it: certificate, key, chain, root.
const LAYOUTS: [[&str; 4]; 2] =
    [[CERTIFICATE, KEY, CHAIN, ROOT], ["tls.crt", "tls.key", "tls.crt", "ca.crt"]];

/// The texts of an authority.
#[derive(Clone, PartialEq, Eq)]
pub struct Files {
    /// The signing certificate; what follows it is part of the chain.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// What leads from it to the root.
    pub chain: String,
    /// The roots to trust.
    pub root: String,
    /// Lists of what was revoked, if there are any.
    pub revocation_lists: Option<String>,
}

impl Files {
    /// What a directory holds, `None` if nothing of an authority.
    pub fn read(directory: &Path) -> anyhow::Result<Option<Self>> {
        // Kubernetes exchanges all files of a volume at once by exchanging this link. Going through
        // it once keeps files of before and after apart.
        let place = fs::canonicalize(directory.join("..data")).unwrap_or_else(|_| directory.to_owned());
        let mut texts = BTreeMap::new();
        for name in LAYOUTS.iter().flatten().chain([&REVOCATION_LISTS]) {
            match fs::read_to_string(place.join(name)) {
                Ok(text) => {
                    texts.insert((*name).to_owned(), text);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot read {}", directory.join(name).display()));
                }
            }
        }
        Self::choose(&texts).with_context(|| format!("in {}", directory.display()))
    }

    /// The first layout of which anything is there, which must be there whole.
    fn choose(texts: &BTreeMap<String, String>) -> anyhow::Result<Option<Self>> {
        for layout in LAYOUTS {
            if !layout.iter().any(|name| texts.contains_key(*name)) {
                continue;
            }
            let missing = layout.iter().filter(|name| !texts.contains_key(**name)).copied();
            let missing: Vec<&str> = BTreeSet::from_iter(missing).into_iter().collect();
            if !missing.is_empty() {
                bail!(
                    "the certificate authority is incomplete: {} is missing; add it, or remove the rest",
                    missing.join(", ")
                );
            }
            let [certificate, key, chain, root] =
                layout.map(|name| texts.get(name).cloned().unwrap_or_default());
            let revocation_lists = texts.get(REVOCATION_LISTS).cloned();
            return Ok(Some(Files { certificate, key, chain, root, revocation_lists }));
        }
        Ok(None)
    }

    /// The lists of what was revoked, if they can be read.
    pub fn usable_lists(&self) -> anyhow::Result<Option<&str>> {
        let Some(text) = &self.revocation_lists else { return Ok(None) };
        RevocationLists::parse(text.as_bytes())
            .with_context(|| format!("{REVOCATION_LISTS} cannot be used; mend it, or take it out"))?;
        Ok(Some(text))
    }

    /// The authority they make, if they fit together.
    pub fn authority(&self) -> anyhow::Result<Authority> {
        let Files { certificate, key, chain, root, revocation_lists: _ } = self;
        Ok(Authority::load(&AuthorityPem { certificate, key, chain, root })?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use mesh_identity::authority::RootKey;

    use super::*;

    fn write(directory: &Path, authority: &Authority, names: [&str; 4]) {
        let texts = [authority.certificate_pem(), &authority.key_pem(), "", authority.root_pem()];
        // The certificate comes last, for it may be the chain as well.
        for (name, text) in names.into_iter().zip(texts).rev() {
            fs::write(directory.join(name), text).unwrap();
        }
    }

    fn authority() -> Authority {
        Authority::self_signed("cluster.local", Duration::from_hours(24), RootKey::Ecdsa).unwrap()
    }

    #[test]
    fn both_layouts_are_read() {
        for layout in LAYOUTS {
            let directory = tempfile::tempdir().unwrap();
            assert!(Files::read(directory.path()).unwrap().is_none());
            let made = authority();
            write(directory.path(), &made, layout);
            let read = Files::read(directory.path()).unwrap().unwrap().authority().unwrap();
            assert_eq!(read.certificate_pem(), made.certificate_pem(), "{layout:?}");
        }
    }

    #[test]
    fn a_part_is_refused_with_the_name_of_what_is_missing() {
        for layout in LAYOUTS {
            for missing in layout {
                let directory = tempfile::tempdir().unwrap();
                write(directory.path(), &authority(), layout);
                fs::remove_file(directory.path().join(missing)).unwrap();
                let error = format!("{:#}", Files::read(directory.path()).err().unwrap());
                assert!(error.contains(&format!("{missing} is missing")), "{error}");
            }
        }
    }

    #[test]
    fn a_volume_of_kubernetes_is_read_through_its_link() {
        let directory = tempfile::tempdir().unwrap();
        let (before, after) = (authority(), authority());
        for (name, authority) in [("..1", &before), ("..2", &after)] {
            let place = directory.path().join(name);
            fs::create_dir(&place).unwrap();
            write(&place, authority, LAYOUTS[0]);
        }
        symlink("..1", directory.path().join("..data")).unwrap();
        for name in LAYOUTS[0] {
            symlink(format!("..data/{name}"), directory.path().join(name)).unwrap();
        }
        assert_eq!(Files::read(directory.path()).unwrap().unwrap().root, before.root_pem());
        symlink("..2", directory.path().join("..new")).unwrap();
        fs::rename(directory.path().join("..new"), directory.path().join("..data")).unwrap();
        assert_eq!(Files::read(directory.path()).unwrap().unwrap().root, after.root_pem());
    }
}
