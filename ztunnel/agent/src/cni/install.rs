//! Keeping the plugin on the node: its binary, and its entry in the network
//! configuration the container runtime reads. Others write that configuration as
//! well, so it is looked at after every change. Files are replaced as a whole.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_runtime::readiness::{Readiness, ReadinessTask};
use tokio::time::sleep;
use tracing::{info, warn};

use super::conflist::{self, Unusable};
use super::plugin::Configuration;
use super::{PLUGIN, SOCKET};
use crate::changes::Changes;

const TASK: &str = "network plugin";
/// When to look again where nothing can be watched or something has failed.
const RETRY: Duration = Duration::from_secs(2);

/// Where things are on the node.
#[derive(Clone, Debug)]
pub struct Places {
    /// The directory of plugins.
    pub bin_dir: PathBuf,
    /// The directory of network configurations.
    pub conf_dir: PathBuf,
    /// The configuration to be part of; the first one when absent.
    pub conf_name: Option<String>,
    /// The agent's own directory, the same inside its container and on the node.
    pub run_dir: PathBuf,
}

/// Why the plugin is not in place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotInstalled {
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error(
        "{0}: no network configuration; install a network plugin, or set CNI_CONF_DIR and CNI_CONF_NAME to where it writes"
    )]
    NoConfiguration(PathBuf),
    #[error("{path}: {reason}")]
    Unusable { path: PathBuf, reason: Unusable },
}

/// Puts the plugin on the node and keeps it there.
pub(crate) struct Installer {
    places: Places,
    /// Our entry, as JSON.
    entry: String,
    readiness: Readiness,
    waiting: Option<ReadinessTask>,
}

impl Installer {
    pub(crate) fn new(
        places: Places,
        exclude_namespaces: Vec<String>,
        readiness: Readiness,
    ) -> serde_json::Result<Self> {
        let configuration =
            Configuration { kind: PLUGIN.to_owned(), run_dir: places.run_dir.clone(), exclude_namespaces };
        let waiting = Some(readiness.register(TASK));
        Ok(Self { entry: serde_json::to_string(&configuration)?, places, readiness, waiting })
    }

    /// Keeps the plugin in place for as long as the program runs; not ready while it is not.
    pub(crate) async fn run(mut self) {
        let mut said = String::new();
        loop {
            // Watched before it is looked at, so that no change is missed in between.
            let changes = Changes::watch(&self.places.conf_dir);
            let installed = install_binary(&self.places.bin_dir).and_then(|()| self.chain());
            match &installed {
                Ok(path) => {
                    if self.waiting.take().is_some() {
                        info!("network plugin: in {}", path.display());
                    }
                    said.clear();
                }
                Err(reason) => {
                    if said != reason.to_string() {
                        said = reason.to_string();
                        warn!("network plugin: {reason}");
                    }
                    let readiness = &self.readiness;
                    self.waiting.get_or_insert_with(|| readiness.register(TASK));
                }
            }
            match (&installed, &changes) {
                (Ok(_), Ok(changes)) => {
                    if changes.wait().await.is_err() {
                        sleep(RETRY).await;
                    }
                }
                (Err(_), Ok(changes)) => tokio::select! {
                    _ = changes.wait() => {}
                    () = sleep(RETRY) => {}
                },
                _ => sleep(RETRY).await,
            }
        }
    }

    /// Makes the right configuration, and no other, call the plugin.
    fn chain(&self) -> Result<PathBuf, NotInstalled> {
        let directory = &self.places.conf_dir;
        let chosen = match &self.places.conf_name {
            Some(name) => directory.join(name),
            None => first(directory)?.ok_or_else(|| NotInstalled::NoConfiguration(directory.clone()))?,
        };
        let text = read(&chosen)?;
        let unusable = |reason| NotInstalled::Unusable { path: chosen.clone(), reason };
        let single = chosen.extension().is_some_and(|end| end != "conflist");
        let list = if single { conflist::wrap(&text).map_err(unusable)? } else { text.clone() };
        let chained = conflist::chain(&list, &self.entry).map_err(unusable)?;
        let place = chosen.with_extension("conflist");
        if single || chained != text {
            replace(&place, chained.as_bytes(), mode(&chosen))?;
            if single {
                remove(&chosen)?;
            }
        }
        unchain_all(directory, Some(&place))?;
        Ok(place)
    }
}

/// Takes the plugin from the node again: first nobody calls it, then it goes.
pub(crate) fn uninstall(places: &Places) -> Result<(), NotInstalled> {
    unchain_all(&places.conf_dir, None)?;
    remove(&places.run_dir.join(SOCKET))?;
    remove(&places.bin_dir.join(PLUGIN))
}

fn unchain_all(directory: &Path, but: Option<&Path>) -> Result<(), NotInstalled> {
    for path in configurations(directory)? {
        if Some(&*path) == but {
            continue;
        }
        // What cannot be read is not ours to mend.
        let Ok(text) = read(&path) else { continue };
        if conflist::is_chained(&text)
            && let Ok(without) = conflist::unchain(&text)
        {
            replace(&path, without.as_bytes(), mode(&path))?;
        }
    }
    Ok(())
}

/// The configuration a container runtime takes: the first by name that is one.
fn first(directory: &Path) -> Result<Option<PathBuf>, NotInstalled> {
    Ok(configurations(directory)?.into_iter().find(|path| {
        let Ok(text) = read(path) else { return false };
        if path.extension().is_some_and(|end| end == "conflist") {
            conflist::chain(&text, "{}").is_ok()
        } else {
            conflist::wrap(&text).is_ok()
        }
    }))
}

fn configurations(directory: &Path) -> Result<Vec<PathBuf>, NotInstalled> {
    let failed = |error| NotInstalled::File { path: directory.to_owned(), error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let ending = path.extension().and_then(|end| end.to_str());
        if !hidden && matches!(ending, Some("conf" | "conflist" | "json")) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Copies this program into the directory of plugins, unless the same is there.
fn install_binary(directory: &Path) -> Result<(), NotInstalled> {
    let own = Path::new("/proc/self/exe");
    let failed = |error| NotInstalled::File { path: own.to_owned(), error };
    let place = directory.join(PLUGIN);
    let bytes = fs::read(own).map_err(failed)?;
    if fs::metadata(&place).is_ok_and(|there| there.len() == bytes.len() as u64)
        && fs::read(&place).is_ok_and(|there| there == bytes)
    {
        return Ok(());
    }
    replace(&place, &bytes, 0o755)
}

fn read(path: &Path) -> Result<String, NotInstalled> {
    fs::read_to_string(path).map_err(|error| NotInstalled::File { path: path.to_owned(), error })
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).map_or(0o600, |metadata| metadata.permissions().mode() & 0o777)
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), NotInstalled> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Names that begin with a dot are read by nobody.
    let temporary = path.with_file_name(format!(".{name}.{PLUGIN}"));
    let write = || {
        fs::write(&temporary, bytes)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(mode))?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        NotInstalled::File { path: path.to_owned(), error }
    })
}

fn remove(path: &Path) -> Result<(), NotInstalled> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(NotInstalled::File { path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
