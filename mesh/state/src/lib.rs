//! What a proxy knows of the mesh. One [`Writer`] applies batches, any number of
//! [`Reader`]s look at immutable [`Snapshot`]s without locks; [`resolve`] answers
//! where a connection goes and [`balance`] which endpoint takes it.

pub mod balance;
mod demand;
mod endpoints;
mod former;
mod handlers;
mod intern;
mod multimap;
mod outside;
mod policies;
mod reader;
pub mod resolve;
mod services;
mod snapshot;
pub mod waypoint;
mod workloads;
mod writer;

use std::sync::Arc;

pub use demand::{ResourceKey, ResourceName, needed};
pub use handlers::{AddressHandler, AuthorizationHandler, ServiceConfigHandler, WaypointConfigHandler};
pub use outside::{
    choose_named, endpoint_of_host, is_guarded_address, is_guarded_service, original_destination,
    usable_addresses,
};
pub use reader::Reader;
pub use resolve::{Endpoint, GatewayHop, NamedHop, NextHop, Query, ResolveError, WaypointHop, resolve};
pub use snapshot::Snapshot;
pub use waypoint::{Served, find_recently_served, find_served, serves_as_waypoint_for};
pub use writer::{Edit, Writer};

/// An empty store.
pub fn new() -> (Writer, Reader) {
    writer::store(Snapshot::default())
}

/// An empty store that prefers services of one namespace where neither the
/// client's namespace nor `canonical` decides (wire.md §5.6).
pub fn with_preferred_namespace(namespace: impl Into<Arc<str>>) -> (Writer, Reader) {
    writer::store(Snapshot::preferring(namespace.into()))
}

#[cfg(test)]
mod samples;
