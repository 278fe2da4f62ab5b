//! The whole path in one process: a client opens tunnels to a waypoint on
//! loopback addresses, which asks backends that do as the test says.

mod backend;
mod client;
mod mesh;
pub(crate) mod samples;

mod affinity;
mod authorization;
mod balancing;
mod localities;
mod mirrors;
mod outliers;
mod protocols;
mod resilience;
mod routing;
mod streams;
mod tcp;
mod tunnels;
