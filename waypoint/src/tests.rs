//! The whole path in one process: a client opens tunnels to a waypoint on
//! loopback addresses, which asks backends that do as the test says.

mod backend;
mod client;
mod consent;
mod front;
mod mesh;
pub(crate) mod samples;

mod affinity;
mod authorization;
mod balancing;
mod handed;
mod limits;
mod localities;
mod mirrors;
mod origination;
mod outliers;
mod outside;
mod protocols;
mod proxy_protocol;
mod reports;
mod resilience;
mod routing;
mod streams;
mod tcp;
mod traces;
mod tunnels;
