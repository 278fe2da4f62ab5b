//! The whole path in one process: a client opens tunnels to a waypoint on
//! loopback addresses, which asks backends that do as the test says.

mod backend;
mod client;
mod consent;
mod mesh;
pub(crate) mod samples;

mod authorization;
mod balancing;
mod mirrors;
mod protocols;
mod reports;
mod resilience;
mod routing;
mod streams;
mod tcp;
mod traces;
mod tunnels;
