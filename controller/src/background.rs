//! What runs beside the serving of proxies, and how it ends.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long tasks have to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Resolves when a task is to end.
pub type Ending = Pin<Box<dyn Future<Output = ()> + Send>>;

type Task = Pin<Box<dyn Future<Output = &'static str> + Send>>;

/// Tasks, put together but not running until [`Background::run`].
pub struct Background {
    tasks: Vec<Task>,
    /// How many of them end when told.
    ending_tasks: usize,
    ending: watch::Sender<bool>,
}

/// Tasks that run.
pub struct Running {
    tasks: JoinSet<&'static str>,
    ending_tasks: usize,
    ending: watch::Sender<bool>,
}

impl Default for Background {
    fn default() -> Self {
        Background { tasks: Vec::new(), ending_tasks: 0, ending: watch::Sender::new(false) }
    }
}

impl Background {
    /// Adds a task that runs for ever. `purpose` is what would not be done without it.
    pub fn add(&mut self, purpose: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(Box::pin(async move {
            task.await;
            purpose
        }));
    }

    /// Adds a task that has something to give back when it is told to end.
    pub fn add_ending<F>(&mut self, purpose: &'static str, task: impl FnOnce(Ending) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut ending = self.ending.subscribe();
        let ending = Box::pin(async move {
            // Without a sender there is nothing left to end.
            let _ = ending.wait_for(|ending| *ending).await;
        });
        self.ending_tasks += 1;
        self.add(purpose, task(ending));
    }

    /// Starts all of them.
    pub fn run(self) -> Running {
        let Background { tasks, ending_tasks, ending } = self;
        Running { tasks: tasks.into_iter().collect(), ending_tasks, ending }
    }
}

impl Running {
    /// Waits until a task has ended by itself; what is no longer done.
    pub async fn ended(&mut self) -> &'static str {
        match self.tasks.join_next().await {
            None => std::future::pending().await,
            Some(Ok(purpose)) => purpose,
            Some(Err(_)) => "something",
        }
    }

    /// Has all of them end; what they hold is given back first.
    pub async fn end(mut self) {
        self.ending.send_replace(true);
        let all = async {
            for _ in 0..self.ending_tasks {
                self.tasks.join_next().await;
            }
        };
        // Who is late is dropped.
        let _ = timeout(PATIENCE, all).await;
        self.tasks.shutdown().await;
    }
}
