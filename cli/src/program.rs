//! The programs of the mesh as subcommands: one image and one download hold all of them.

pub(crate) mod cni;
pub(crate) mod controller;
pub(crate) mod node_agent;
pub(crate) mod rate_limiter;
pub(crate) mod version;
pub(crate) mod waypoint;
pub(crate) mod ztunnel;
