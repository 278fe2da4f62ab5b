//! The node agent: decides which pods of the node are enrolled, programs capture
//! in their network namespaces, and hands those to ztunnel over ZDS.
//!
//! ```text
//! source ── pods ──▶ enrolment ── steps ──▶ agent ──▶ capture   rules inside the pod
//!                    (pure)                   ├─────▶ zds       ztunnel, by socket
//!                                             └─────▶ results   what became of each pod
//! ```

mod agent;
pub mod capture;
pub mod config;
pub mod enrolment;
pub mod pod;
mod results;
mod run;
pub mod source;
pub mod zds;

pub use config::Config;
pub use run::run;
