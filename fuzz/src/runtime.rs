//! A runtime whose clock jumps to the next timer when nothing else is left to
//! do: no input makes a target wait, and a wait without an end is a hang.

use tokio::runtime::Builder;

/// Runs a future to its end, and drops whatever it has spawned.
pub fn run<F: Future>(future: F) -> F::Output {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    // A runtime without I/O takes nothing that can be missing.
    #[expect(clippy::expect_used, reason = "a target that cannot start has to say so")]
    runtime.expect("a runtime").block_on(future)
}
