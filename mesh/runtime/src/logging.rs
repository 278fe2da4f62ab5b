//! Log lines, plain or JSON, one per event (telemetry.md §4), and their levels,
//! which can change while the program runs.

mod format;
mod levels;
mod writer;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use format::Lines;
pub use levels::InvalidLevel;
use levels::Levels;
pub use writer::flush;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// `time <tab> level <tab> scope <tab> message <tab> key=value …`
    #[default]
    Plain,
    /// One object per line.
    Json,
}

impl Format {
    /// As `LOG_FORMAT` says: `json`, or else plain.
    pub fn from_env() -> Format {
        match crate::env::find_text("LOG_FORMAT").as_deref() {
            Some("json") => Format::Json,
            _ => Format::Plain,
        }
    }
}

/// Why there is no logging.
#[derive(Debug, Error)]
pub enum InitError {
    /// The default level, or `RUST_LOG`, is not a level.
    #[error(transparent)]
    Level(#[from] InvalidLevel),
    /// Something else logs already.
    #[error("logging was set up before")]
    Twice,
    /// The writing thread did not start.
    #[error("cannot start the log writer: {0}")]
    Writer(#[from] std::io::Error),
}

/// Changes the levels of the running program.
#[derive(Clone)]
pub struct LevelHandle {
    filter: reload::Handle<Levels, Registry>,
    current: Arc<Mutex<Levels>>,
    initial: Levels,
}

/// Logs to standard output from here on, at the levels of `RUST_LOG`, or else at `default_level`.
pub fn init(format: Format, default_level: &str) -> Result<LevelHandle, InitError> {
    let initial: Levels = crate::env::text("RUST_LOG", default_level).parse()?;
    let (filter, handle) = reload::Layer::new(initial.clone());
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .event_format(Lines(format))
        .with_writer(writer::start(std::io::stdout())?);
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    subscriber.try_init().map_err(|_| InitError::Twice)?;
    Ok(LevelHandle { filter: handle, current: Arc::new(Mutex::new(initial.clone())), initial })
}

impl LevelHandle {
    /// Changes levels: `debug` sets every scope's, `access=debug,xds=trace` these scopes' alone.
    pub fn set(&self, levels: &str) -> Result<(), InvalidLevel> {
        let change: Levels = levels.parse()?;
        self.replace(|current| current.changed_by(change));
        Ok(())
    }

    /// Back to the levels the program started with.
    pub fn reset(&self) {
        self.replace(|_| self.initial.clone());
    }

    /// The levels, as [`LevelHandle::set`] takes them.
    pub fn current(&self) -> String {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).to_string()
    }

    fn replace(&self, change: impl FnOnce(&Levels) -> Levels) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = change(&current);
        if let Err(error) = self.filter.reload(current.clone()) {
            tracing::error!(%error, "log levels did not change");
        }
    }
}

impl fmt::Debug for LevelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LevelHandle").field("current", &self.current()).finish_non_exhaustive()
    }
}
