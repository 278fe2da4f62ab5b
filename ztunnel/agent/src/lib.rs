//! The node agent: decides which pods of the node are enrolled, programs capture
//! in their network namespaces, and hands those to ztunnel over ZDS.
//!
//! ```text
//! source ── pods ──▶ enrolment ── steps ──▶ agent ──▶ host      probes, in the node's network
//!   ▲                (pure)                   ├─────▶ capture   rules inside the pod
//!   │                                         ├─────▶ zds       ztunnel, by socket
//!  cni   new pods, before they start          └─────▶ results   what became of each pod
//! ```

mod agent;
mod backoff;
pub mod capture;
mod changes;
pub mod cni;
pub mod config;
pub mod enrolment;
#[cfg(test)]
mod fake_api;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
mod metrics;
mod netns;
pub mod pod;
mod results;
mod run;
pub mod source;
pub mod zds;

pub use config::{Config, Origin};
pub use run::run;
