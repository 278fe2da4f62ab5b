//! What the supervisor tells the person in front of it.

use std::fmt::Arguments;
use std::io::Write;
use std::time::Instant;

/// The terminal, or the log of a detached mesh.
#[derive(Clone, Debug)]
pub(super) struct Console {
    start: Instant,
}

impl Console {
    pub(super) fn new() -> Self {
        Console { start: Instant::now() }
    }

    /// Something has been achieved.
    pub(super) fn step(&self, text: Arguments<'_>) {
        self.say(text);
    }

    /// Something is as it should not be.
    pub(super) fn problem(&self, text: Arguments<'_>) {
        self.say(format_args!("! {text}"));
    }

    /// Whoever reads it may have gone; the mesh stays.
    fn say(&self, text: Arguments<'_>) {
        let _ = writeln!(std::io::stdout(), "{:>7.1} s  {text}", self.start.elapsed().as_secs_f64());
    }
}
