//! Delta ADS, client and server, generic over the resource (wire.md §5). A
//! [`Client`] keeps one stream alive and feeds a [`Handler`] per type URL; a
//! [`DiscoveryServer`] answers streams from what a [`Publisher`] holds, each
//! proxy through its own [`View`].

mod client;
mod handler;
mod node;
mod server;

pub use client::{Client, ClientSettings, Connect, ConnectError, Demand, DemandError, StreamEnd, Transport};
pub use handler::{Handler, RawResource, Rejected, Typed};
pub use node::{InvalidNodeId, NodeId};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use server::fuzzing;
pub use server::{
    Admission, Audience, Caller, Change, DiscoveryServer, Entry, Publisher, ServerSettings, Statistics, View,
    version_of,
};

#[cfg(test)]
mod tests;
