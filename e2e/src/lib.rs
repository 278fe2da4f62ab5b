//! What tests of a mesh in a real cluster are made of: a scene of pods in a namespace of its own, calls
//! between them, waiting for what has to become true, and evidence when it does not.

mod apply;
mod authority;
mod calls;
mod cluster;
mod evidence;
mod forward;
pub mod guide;
mod inside;
pub mod manifests;
mod mesh_config;
mod metrics;
mod node;
mod pressure;
mod rollout;
mod scene;
mod wait;

pub use authority::Caller;
pub use calls::{Answer, Calls};
pub use cluster::{Cluster, SYSTEM};
pub use forward::Forward;
pub use metrics::Metrics;
pub use node::{Removed, can_enter};
pub use pressure::{Pressure, Sustained};
pub use rollout::Workload;
pub use scene::{Load, Scene};
pub use wait::eventually;
