//! The node tunnel: captures the traffic of enrolled pods, tunnels it as HBONE, enforces L4 policy.
//!
//! ```text
//! node agent ── zds ──▶ pods ── starts ──▶ proxy       one per pod, in the pod's network namespace
//!                                            ├─▶ outbound   plan → tunnel or plain → copy
//!                                            ├─▶ inbound    checks → permit → application → copy
//!                                            └─▶ dns        answer, or forward
//! controller, CA ── control ──▶ state and certificates, read by every connection
//!                      ▲ discovery: names asked for, where resources come on demand
//! ```

mod admin;
pub mod config;
mod connections;
mod control;
mod discovery;
mod dns;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod identities;
mod inbound;
mod journal;
mod outbound;
mod pods;
mod ports;
mod proxy;
mod revocable;
mod run;
#[cfg(test)]
mod samples;
mod zds;

pub use config::Config;
pub use run::run;
