//! What tests of the mesh share: a node of network namespaces, a fake CA, an in-memory controller, echo servers.

pub mod authority;
pub mod controller;
pub mod node;
