//! The mesh in a cluster, as its users meet it. Every test plays in a namespace of its own; those that take
//! a part of the mesh away are in `outage` and `rollout`, which the suite runs alone, after the others, and so is
//! `experimental`, which needs other CRDs.

mod bad_input;
mod capture;
mod connectivity;
mod enrolment;
mod experimental;
mod extension;
mod hosts;
mod identity;
mod limits;
mod manifests;
mod outage;
mod policy;
mod quickstart;
mod rollout;
mod status;
mod strange;
mod traffic;
mod waypoint;
