//! Whether the program is ready: it is once every registered task is done.
//! Dropping a [`ReadinessTask`] is what says that its task is done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The tasks that are still to be done.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    pending: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// A task the program is not ready without; done once it is dropped.
#[derive(Debug)]
#[must_use = "a task that is dropped is done"]
pub struct ReadinessTask {
    name: String,
    readiness: Readiness,
}

impl Readiness {
    /// Ready, until a task is registered.
    pub fn new() -> Self {
        Readiness::default()
    }

    /// A task to wait for. The same name may be registered several times.
    pub fn register(&self, name: impl Into<String>) -> ReadinessTask {
        let name = name.into();
        *self.tasks().entry(name.clone()).or_default() += 1;
        ReadinessTask { name, readiness: self.clone() }
    }

    /// The names of what is still to be done, sorted.
    pub fn pending(&self) -> Vec<String> {
        self.tasks().keys().cloned().collect()
    }

    /// Nothing is left to be done.
    pub fn is_ready(&self) -> bool {
        self.tasks().is_empty()
    }

    fn tasks(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        // Every change under the lock is a single step, so a poisoned map is a whole one.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadinessTask {
    /// Says that the task is done.
    pub fn done(self) {}
}

impl Drop for ReadinessTask {
    fn drop(&mut self) {
        let mut tasks = self.readiness.tasks();
        if let Some(left) = tasks.get_mut(&self.name) {
            *left -= 1;
            if *left == 0 {
                tasks.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_12_names_what_is_pending_in_order() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        let state = readiness.register("state manager");
        let proxy = readiness.register("proxy");
        let again = readiness.register("proxy");
        assert_eq!(readiness.pending(), ["proxy", "state manager"]);
        state.done();
        drop(proxy);
        assert_eq!(readiness.pending(), ["proxy"]);
        drop(again);
        assert!(readiness.is_ready());
    }
}
