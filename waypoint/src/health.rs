//! Active health checks: the waypoint asks the endpoints of services whose policy wants it how they are, once for all
//! workers, and tells the balancers who is not well. All of it runs with the control plane's work, so that no check and
//! no silent endpoint takes time from requests.
//!
//! ```text
//! rounds ── who is to be asked, and how ──▶ one visitor per endpoint ── ask ──▶ chart ──▶ balance, metrics, log, dump
//! ```

mod ask;
mod basis;
mod chart;
mod condition;
mod rounds;

#[cfg(fuzzing)]
pub(crate) use ask::serving_status;
pub(crate) use chart::{Charted, Charts};
#[cfg(test)]
pub(crate) use condition::Health;
pub(crate) use rounds::Rounds;
