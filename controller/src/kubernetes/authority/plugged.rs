//! Files of an operator, read again when they change. Kubernetes exchanges all of them at once.

use std::path::{Path, PathBuf};

use anyhow::bail;
use mesh_identity::authority::Authority;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::ca::CurrentAuthority;
use crate::ca::plugged::Files;

pub(super) struct PluggedIn {
    directory: PathBuf,
    files: Files,
}

impl PluggedIn {
    pub(super) fn open(directory: &Path) -> anyhow::Result<Option<(Self, Authority)>> {
        let Some(files) = Files::read(directory)? else { return Ok(None) };
        let authority = files.authority()?;
        Ok(Some((PluggedIn { directory: directory.to_owned(), files }, authority)))
    }

    /// What is said to be revoked; nothing, and a word in the log, where it cannot be read.
    pub(super) fn revocation_lists(&self) -> Option<String> {
        match self.files.usable_lists() {
            Ok(lists) => lists.map(str::to_owned),
            Err(error) => {
                warn!("nothing counts as revoked: in {}: {error:#}", self.directory.display());
                None
            }
        }
    }

    /// Takes over a new set that fits together, and lists that can be read; what is broken changes nothing.
    pub(super) fn follow(
        &mut self,
        current: &CurrentAuthority,
        revoked: &watch::Sender<Option<String>>,
    ) -> anyhow::Result<()> {
        let Some(files) = Files::read(&self.directory)? else {
            bail!("{} holds no certificate authority any more; put it back", self.directory.display());
        };
        if files == self.files {
            return Ok(());
        }
        let lists_before = self.files.revocation_lists.clone();
        if (Files { revocation_lists: lists_before.clone(), ..files.clone() }) != self.files {
            self.exchange(Files { revocation_lists: lists_before.clone(), ..files.clone() }, current)?;
        }
        if files.revocation_lists != lists_before {
            revoked.send_replace(files.usable_lists()?.map(str::to_owned));
            self.files = files;
            info!("using the new revocation lists in {}", self.directory.display());
        }
        Ok(())
    }

    fn exchange(&mut self, files: Files, current: &CurrentAuthority) -> anyhow::Result<()> {
        let authority = files.authority()?;
        let old = current.get();
        if !trusts(authority.root_pem(), old.root_pem()) {
            warn!(
                "the new root-cert.pem leaves out roots of before; what they certified is refused from now \
                 on. Keep both until every certificate has been renewed"
            );
        }
        current.replace(authority);
        self.files = files;
        info!("using the new certificate authority in {}", self.directory.display());
        Ok(())
    }
}

/// Every certificate of `old` is in `new`.
fn trusts(new: &str, old: &str) -> bool {
    const END: &str = "-----END CERTIFICATE-----";
    old.split_inclusive(END).filter(|part| part.contains(END)).all(|root| new.contains(root.trim()))
}
