//! Sockets, typed addresses, network namespaces and the copy loop; knows nothing of the mesh.

pub mod addr;
pub mod copy;
pub mod namespace;
pub mod proxy_protocol;
pub mod socket;
