//! ztunnel as its users meet it: real processes in real network namespaces, with
//! real capture, a controller and a CA in memory. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod carriage;
mod dns;
mod exhaustion;
mod families;
mod garbage;
mod hbone;
mod lifecycle;
mod network_policy;
mod on_demand;
mod policy;
mod revocation;
#[path = "../../src/samples.rs"]
#[allow(dead_code, reason = "shared with the unit tests")]
mod samples;
mod services;
mod sniffer;
mod telemetry;
mod waypoint;
mod world;
mod zds;

/// Not a test: the process the tests start, which is this very program.
#[test]
#[ignore = "started by the tests"]
fn ztunnel_process() {
    if std::env::var_os(world::PROCESS).is_some() {
        ztunnel::run(ztunnel::Config::from_env().unwrap()).unwrap();
    }
}
