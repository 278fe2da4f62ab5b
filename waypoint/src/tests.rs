//! The whole path in one process: a client opens tunnels to a waypoint on
//! loopback addresses, which asks backends that do as the test says.

mod backend;
mod client;
mod consent;
mod frames;
mod front;
mod mesh;
pub(crate) mod samples;

mod affinity;
mod authorization;
mod balancing;
mod claims;
mod floods;
mod grpc_web;
mod handed;
mod health;
mod hedging;
mod hostile_backends;
mod limits;
mod localities;
mod mirrors;
mod origination;
mod outliers;
mod outside;
mod protocols;
mod proxy_protocol;
mod rate_limits;
mod reports;
mod resilience;
mod routing;
mod sessions;
mod smuggling;
mod streams;
mod tcp;
mod traces;
mod tunnels;
mod wildcard;
