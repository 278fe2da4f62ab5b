//! Requests at a high rate from one pod, for as long as something else takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use crate::{Answer, Calls, Scene};

/// Clients at once.
const CLIENTS: usize = 4;
/// Each asks again after this, so that together they ask up to 800 times a second.
const INTERVAL: &str = "--interval=5ms";
/// Before a client looks whether it has to go on.
const CALLS: &str = "-n200";

/// Requests that go on until they are told to end.
pub struct Pressure {
    clients: JoinSet<Result<Calls>>,
    over: Arc<AtomicBool>,
    begun: Instant,
}

/// What became of all requests.
#[derive(Clone, Debug)]
pub struct Sustained {
    /// The answers.
    pub calls: Calls,
    /// Requests a second.
    pub rate: f64,
}

impl Scene {
    /// Puts a service under load, from this pod.
    pub fn press(&self, pod: &str, url: &str) -> Pressure {
        let over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (scene, pod, url, over) = (self.clone(), pod.to_owned(), url.to_owned(), over.clone());
            clients.spawn(async move {
                let mut calls = Calls::default();
                while !over.load(Ordering::Relaxed) {
                    calls.append(scene.call(&pod, &[&url, CALLS, INTERVAL]).await?);
                }
                Ok(calls)
            });
        }
        Pressure { clients, over, begun: Instant::now() }
    }
}

impl Pressure {
    /// Ends it and waits for the answers that are due.
    pub async fn end(mut self) -> Result<Sustained> {
        self.over.store(true, Ordering::Relaxed);
        let mut calls = Calls::default();
        while let Some(client) = self.clients.join_next().await {
            calls.append(client??);
        }
        let rate = calls.len() as f64 / self.begun.elapsed().as_secs_f64();
        Ok(Sustained { calls, rate })
    }
}

impl Sustained {
    /// Says what was measured, for the record of the run.
    pub fn say(&self, what: &str) {
        let (count, failed) = (self.calls.len(), self.calls.failures().len());
        println!("{what}: {failed} of {count} requests failed, at {:.0} requests a second", self.rate);
    }

    /// Not one request has failed. How many a second there were is the machine's affair: it is said, not judged.
    pub fn lost_nothing(&self) -> Result<()> {
        let failed = self.calls.failures();
        let first =
            || format!("{} of {} failed, such as {:?}", failed.len(), self.calls.len(), failed.first());
        failed.is_empty().then_some(()).with_context(first)
    }

    /// How many of a hundred have not failed.
    pub fn percentage(&self) -> f64 {
        let ok = self.calls.iter().filter(|answer: &&Answer| answer.is_ok()).count();
        100.0 * ok as f64 / self.calls.len().max(1) as f64
    }
}
