//! Objects from directories of manifests. An edited file takes effect at once; a
//! broken one is reported and what it said before stays.

mod layers;
mod located;
mod manifest;
mod problem;
mod scan;
mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::{mpsc, watch as value_watch};
use tracing::{info, warn};

use crate::source::{Event, Source};
use layers::{FileKey, Layer, Layers};
pub(crate) use manifest::parse;
pub use manifest::{Found, MAX_FILE, Manifest, read};
pub use problem::{Problem, Severity};
use watch::Watch;

/// How often files that are being written at the start are waited for.
const MAX_FIRST_LOOKS: usize = 50;

/// How many problems are told, the worst first.
const MAX_PROBLEMS: usize = 1000;

/// Everything that is wrong with the manifests now, worst first.
pub type Problems = value_watch::Receiver<Vec<Problem>>;

/// Directories of manifests as a source of objects.
pub struct Directory {
    roots: Vec<Root>,
    problems: value_watch::Sender<Vec<Problem>>,
}

struct Root {
    layer: Layer,
    index: usize,
    path: PathBuf,
}

impl Directory {
    /// The manifests in `manifests`, of which the first to name an object
    /// counts, and the facts in `runtime` laid over them.
    pub fn new(manifests: Vec<PathBuf>, runtime: Vec<PathBuf>) -> (Self, Problems) {
        let root = |layer| move |(index, path)| Root { layer, index, path };
        let manifests = manifests.into_iter().enumerate().map(root(Layer::Manifests));
        let runtime = runtime.into_iter().enumerate().map(root(Layer::Runtime));
        let (problems, receiver) = value_watch::channel(Vec::new());
        (Directory { roots: manifests.chain(runtime).collect(), problems }, receiver)
    }
}

impl Source for Directory {
    async fn run(self, events: mpsc::Sender<Event>) -> anyhow::Result<()> {
        let (done, ended) = tokio::sync::oneshot::channel::<()>();
        let mut reader = Reader {
            roots: self.roots,
            layers: Layers::default(),
            watch: Watch::new(),
            events,
            failures: BTreeSet::new(),
            problems: self.problems,
        };
        // A thread of its own: a slow disk must hold up nobody.
        let thread = move || {
            let _done = done;
            reader.run();
        };
        std::thread::Builder::new()
            .name("manifests".to_owned())
            .spawn(thread)
            .context("cannot start the thread that reads manifests")?;
        // The sender is dropped, never used.
        let _ = ended.await;
        Ok(())
    }
}

struct Reader {
    roots: Vec<Root>,
    layers: Layers,
    watch: Watch,
    events: mpsc::Sender<Event>,
    /// What is wrong with the directories themselves.
    failures: BTreeSet<Problem>,
    problems: value_watch::Sender<Vec<Problem>>,
}

/// What one look at the directories found.
#[derive(Default)]
struct Look {
    /// Directories that could not be listed.
    failures: BTreeSet<Problem>,
    /// Some file was left for later, because it may still be being written.
    unsettled: bool,
}

impl Reader {
    /// Reads and sends until nobody listens any more.
    fn run(&mut self) {
        let mut look = self.look();
        for _ in 0..MAX_FIRST_LOOKS {
            if !look.unsettled {
                break;
            }
            std::thread::sleep(scan::SETTLE);
            look = self.look();
        }
        let mut is_first = true;
        loop {
            let unsettled = look.unsettled;
            if !self.tell(look) {
                return;
            }
            if std::mem::take(&mut is_first) && self.events.blocking_send(Event::InitDone).is_err() {
                return;
            }
            self.watch.wait(unsettled.then_some(scan::SETTLE));
            look = self.look();
        }
    }

    /// Takes in what is new or changed in the directories.
    fn look(&mut self) -> Look {
        let mut look = Look::default();
        for Root { layer, index, path } in &self.roots {
            let listing = match scan::list(path) {
                Ok(listing) => listing,
                Err(error) => {
                    // What its files said stays.
                    look.failures
                        .extend(Manifest::unreadable(&Arc::new(path.clone()), error.to_string()).problems);
                    continue;
                }
            };
            self.watch.add(&listing.directories);
            look.unsettled |= !listing.unsettled.is_empty();
            let is_there = |path: &Path| listing.files.contains_key(path) || listing.unsettled.contains(path);
            self.layers.retain(*layer, *index, is_there);
            for (path, stamp) in listing.files {
                let file = FileKey { layer: *layer, directory: *index, path: Arc::new(path) };
                if self.layers.knows(&file, &stamp) {
                    continue;
                }
                let manifest = match scan::read(&file.path) {
                    Ok(text) => manifest::read(&file.path, &text),
                    Err(error) => Manifest::unreadable(&file.path, error.to_string()),
                };
                self.layers.put(file, stamp, manifest);
            }
        }
        look
    }

    /// Sends what changed; whether anybody listens.
    fn tell(&mut self, look: Look) -> bool {
        if self.layers.has_changed() || look.failures != self.failures {
            let (events, mut problems) = self.layers.settle();
            problems.extend(look.failures.iter().cloned());
            self.failures = look.failures;
            self.report(problems);
            if !events.into_iter().all(|event| self.events.blocking_send(event).is_ok()) {
                return false;
            }
        }
        !self.events.is_closed()
    }

    /// Logs what is newly wrong and when nothing is any more.
    fn report(&self, problems: BTreeSet<Problem>) {
        let before: BTreeSet<Problem> = self.problems.borrow().iter().cloned().collect();
        let problems: BTreeSet<Problem> = problems.into_iter().take(MAX_PROBLEMS).collect();
        if before == problems {
            return;
        }
        let mut notices: BTreeSet<&str> = before.iter().map(|problem| problem.message.as_str()).collect();
        for problem in problems.difference(&before) {
            match problem.severity {
                Severity::Broken => warn!("{problem}; what the file said before stays in force"),
                Severity::Skipped => warn!("{problem}"),
                // Without a field it is about a kind, which is worth one line however many there are.
                Severity::Notice if problem.field.is_empty() && !notices.insert(&problem.message) => {}
                Severity::Notice => info!("{problem}"),
            }
        }
        if problems.is_empty() {
            info!("all manifests are in order");
        }
        self.problems.send_replace(problems.into_iter().collect());
    }
}

/// The objects in a text, for tests that need some.
#[cfg(test)]
pub(crate) fn read_objects(file: Arc<PathBuf>, text: &str) -> Vec<controller_translate::Object> {
    let manifest = manifest::read(&file, text);
    assert!(manifest.problems.is_empty(), "{:?}", manifest.problems);
    manifest.objects.iter().map(|found| manifest::parse(found.key.kind, &found.value).unwrap()).collect()
}

#[cfg(test)]
mod tests;
