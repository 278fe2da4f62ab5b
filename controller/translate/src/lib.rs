//! Kubernetes objects in, mesh resources and statuses out: pure functions, no client, no runtime.
//!
//! `Object`s are applied to a `Cluster`, which answers with the keys they affect; `resources::derive`
//! and `status::derive` turn a key into what is published or written, `None` meaning "gone".

pub mod cluster;
pub mod crd;
pub mod expand;
mod labels;
pub mod objects;
pub mod resources;
pub mod status;

pub use cluster::{Affected, Cluster, KeySet, KeySource, Name, Obstacle, ResourceKey, Settings};
pub use objects::{Kind, KindError, Object, ObjectKey};
pub use resources::Resource;
pub use status::Status;
