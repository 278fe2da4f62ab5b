//! The data path's threads: each runs a single-threaded runtime of its own, so
//! nothing on it is stolen, shared or woken across threads.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

/// More would be a slip of the keyboard.
const MOST_THREADS: usize = 512;
/// What dropping [`Workers`] waits for threads to end.
const DROP_DEADLINE: Duration = Duration::from_secs(5);

/// The running worker threads. Tasks still on them end where they await once
/// the workers are shut down or dropped.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    ended: Receiver<()>,
}

impl Workers {
    /// Starts that many threads, at least one, named `<name>-<number>`.
    pub fn start(count: usize, name: &str) -> io::Result<Workers> {
        let (stop, stopped) = watch::channel(false);
        let (alive, ended) = channel();
        let mut workers = Workers { handles: Vec::new(), threads: Vec::new(), stop, ended };
        for number in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.handles.push(runtime.handle().clone());
            let (stopped, alive) = (stopped.clone(), alive.clone());
            let thread = std::thread::Builder::new().name(format!("{name}-{number}"));
            workers.threads.push(thread.spawn(move || work(runtime, stopped, alive))?);
        }
        Ok(workers)
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// A handle to each one's runtime.
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }

    /// Ends all of them and waits for that; says whether the deadline was kept.
    pub fn shutdown(mut self, deadline: Duration) -> bool {
        self.end(deadline)
    }

    fn end(&mut self, deadline: Duration) -> bool {
        self.stop.send_replace(true);
        self.handles.clear();
        // Nobody sends; the channel closes once the last thread has let go of its end.
        let kept = self.ended.recv_timeout(deadline) != Err(RecvTimeoutError::Timeout);
        for thread in self.threads.drain(..).filter(|_| kept) {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
        kept
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if !self.threads.is_empty() && !self.end(DROP_DEADLINE) {
            tracing::error!("worker threads did not end in {DROP_DEADLINE:?}");
        }
    }
}

fn work(runtime: Runtime, mut stopped: watch::Receiver<bool>, alive: Sender<()>) {
    // An error means that `Workers` is gone, which says the same.
    let _ = runtime.block_on(stopped.wait_for(|stop| *stop));
    runtime.shutdown_background();
    // Last, for it says that the tasks are gone.
    drop(alive);
}

/// A number of threads that is none.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a number of worker threads; expected 0 (one per CPU) to {MOST_THREADS}, or 1% to 100%")]
pub struct InvalidWorkerThreads(pub String);

/// How many threads a text asks for: a number, a share of the CPUs such as
/// `50%` (rounded up), or 0 for one per CPU (AD-10).
pub fn parse_worker_threads(text: &str, cpus: usize) -> Result<usize, InvalidWorkerThreads> {
    let invalid = || InvalidWorkerThreads(text.to_owned());
    let number = |digits: &str| digits.parse::<usize>().map_err(|_| invalid());
    let count = match text.trim().strip_suffix('%') {
        Some(share) => match number(share.trim())? {
            share @ 1..=100 => (cpus * share).div_ceil(100),
            _ => return Err(invalid()),
        },
        None => match number(text.trim())? {
            0 => cpus,
            count @ 1..=MOST_THREADS => count,
            _ => return Err(invalid()),
        },
    };
    Ok(count.max(1))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Instant;

    use super::*;

    #[test]
    fn ad_10_reads_numbers_and_shares() {
        for (text, cpus, expected) in [
            ("4", 2, 4),
            ("0", 6, 6),
            ("50%", 8, 4),
            ("1%", 8, 1),
            ("51%", 4, 3),
            ("100%", 3, 3),
            (" 2 ", 1, 2),
        ] {
            assert_eq!(parse_worker_threads(text, cpus), Ok(expected), "{text}");
        }
        for bad in ["", "x", "-1", "0%", "101%", "1.5", "%", "99999"] {
            assert_eq!(parse_worker_threads(bad, 4), Err(InvalidWorkerThreads(bad.to_owned())));
        }
    }

    #[test]
    fn each_handle_is_a_thread_of_its_own() {
        let workers = Workers::start(3, "test").unwrap();
        assert_eq!(workers.len(), 3);
        let (sender, receiver) = channel();
        for handle in workers.handles() {
            let sender = sender.clone();
            handle.spawn(async move { sender.send(std::thread::current().id()) });
        }
        let threads: HashSet<_> =
            (0..3).map(|_| receiver.recv_timeout(Duration::from_secs(5)).unwrap()).collect();
        assert_eq!(threads.len(), 3);
        assert!(!threads.contains(&std::thread::current().id()));
        assert!(workers.shutdown(Duration::from_secs(5)));
    }

    #[test]
    fn up_19_shutdown_drops_what_still_runs() {
        let workers = Workers::start(1, "test").unwrap();
        let (sender, receiver) = channel::<()>();
        workers.handles()[0].spawn(async move {
            let _held = sender;
            std::future::pending::<()>().await;
        });
        let start = Instant::now();
        drop(workers);
        assert!(start.elapsed() < DROP_DEADLINE);
        assert!(receiver.recv().is_err(), "the task is gone");
    }
}
