//! Real processes in real network namespaces: the `adit` binary brings up a
//! whole mesh from manifests, and these tests look at what its traffic does.
//! They need root, `ip` and `nft`; in CI they fail where these are missing.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, reason = "tests")]

#[path = "mesh/faults.rs"]
mod faults;
#[path = "mesh/garbage.rs"]
mod garbage;
#[path = "mesh/harness.rs"]
mod harness;
#[path = "mesh/l4.rs"]
mod l4;
#[path = "mesh/l7.rs"]
mod l7;
#[path = "mesh/l7authz.rs"]
mod l7authz;
#[path = "mesh/manifests.rs"]
mod manifests;
#[path = "mesh/rate_limits.rs"]
mod rate_limits;
#[path = "mesh/wire.rs"]
mod wire;
