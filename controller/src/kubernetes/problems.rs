//! Objects that cannot be read, for a person to find.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use controller_translate::ObjectKey;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::directory::{Problem, Problems, Severity};

/// How many problems are told.
const MOST: usize = 1000;

/// What is wrong now, by object.
#[derive(Clone)]
pub(super) struct Reported {
    inner: Arc<Mutex<BTreeMap<ObjectKey, (String, Problem)>>>,
    told: watch::Sender<Vec<Problem>>,
}

impl Reported {
    pub(super) fn new() -> (Self, Problems) {
        let (told, receiver) = watch::channel(Vec::new());
        (Reported { inner: Arc::default(), told }, receiver)
    }

    /// Notes what is wrong with a version of an object; whether that is news.
    pub(super) fn put(&self, key: &ObjectKey, version: &str, field: String, message: String) -> bool {
        let file = Arc::new(PathBuf::from(key.to_string()));
        let problem = Problem { severity: Severity::Broken, file, line: None, field, message };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.get(key).is_some_and(|(known, _)| known == version) {
            return false;
        }
        warn!("{problem}; what the object said before stays in force");
        inner.insert(key.clone(), (version.to_owned(), problem));
        self.tell(&inner);
        true
    }

    /// Nothing is wrong with it any more.
    pub(super) fn clear(&self, key: &ObjectKey) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.remove(key).is_some() {
            info!("{key} is in order or gone");
            self.tell(&inner);
        }
    }

    fn tell(&self, inner: &BTreeMap<ObjectKey, (String, Problem)>) {
        let problems = inner.values().take(MOST).map(|(_, problem)| problem.clone());
        self.told.send_replace(problems.collect());
    }
}
