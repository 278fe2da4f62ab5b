//! How many requests may pass: limits compiled once per change, counted here (`counters.rs`) or by a service
//! (`service.rs`), and told to clients (`quotas.rs`). What becomes of a request is in `http/rate_limit.rs`.

mod bucket;
mod counters;
mod limit;
mod quotas;
mod service;

pub(crate) use counters::Counters;
pub(crate) use limit::{Counting, Facts, Limit, compile_all};
pub(crate) use quotas::{Quota, Quotas};
#[cfg(fuzzing)]
pub(crate) use service::decode;
pub(crate) use service::{Answer, Asked, ask};
