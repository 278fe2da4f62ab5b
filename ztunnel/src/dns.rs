//! DNS of the captured pods: what the mesh knows is answered at once, the rest is sent on.
//!
//! ```text
//! pod ── 53, captured ──▶ udp, tcp ──▶ resolver ──▶ answer      names of the mesh, from the snapshot
//!                                         └───────▶ forward ──▶ cache, then upstream, from inside the pod
//! outbound ── workload known by name ──▶ on_demand ──▶ forward
//! ```

mod answer;
mod cache;
mod forward;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod listeners;
mod message;
mod names;
mod on_demand;
mod replies;
mod resolv_conf;
mod resolver;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod upstream;

pub(crate) use listeners::Listeners;
pub(crate) use on_demand::LookupError;
pub(crate) use resolv_conf::name_servers;
pub(crate) use resolver::{Resolver, Setup};
pub(crate) use tcp::serve_tcp;
pub(crate) use udp::serve_udp;
pub(crate) use upstream::{Patience, Upstream};
