//! Counts requests for waypoints and whoever else speaks Envoy's rate-limit protocol: how many may pass is
//! configured in files or said with each question, and the counts are in Redis, so that any number of these programs
//! count together. The whole process is in `run.rs`.

mod counts;
mod files;
mod limits;
mod metrics;
mod run;
mod service;

pub use counts::{CannotCount, Counts};
pub use files::{InvalidLimits, LimitFiles};
pub use limits::{Limit, Limits, Unit};
pub use metrics::Metrics;
pub use run::{Settings, run};
pub use service::LimitService;
