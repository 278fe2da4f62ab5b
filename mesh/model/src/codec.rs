//! Values to and from the wire. Decoding is strict: a resource that cannot mean
//! what it says is rejected, alone, with the field and the reason (SEC-08, SEC-09).

pub mod address;
pub mod authorization;
mod authorization_service;
mod condition;
mod cors;
mod duration;
mod field;
#[cfg(test)]
mod generators;
mod http_match;
mod http_rule;
mod metric_settings;
mod rate_limit;
mod resilience;
#[cfg(test)]
mod round_trip;
mod security;
mod service;
pub mod service_config;
mod session;
mod stream_rule;
mod telemetry;
mod traffic;
pub mod waypoint_config;
mod workload;

use std::fmt;

use thiserror::Error;

/// Why a resource was rejected.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct DecodeError {
    /// The path of the field, `workload.addresses[1]`; empty for the resource itself.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.reason),
            field => write!(f, "{field}: {}", self.reason),
        }
    }
}

impl DecodeError {
    fn new(reason: impl Into<String>) -> Self {
        DecodeError { field: String::new(), reason: reason.into() }
    }

    fn within(mut self, parent: &str) -> Self {
        self.field = match self.field.as_str() {
            "" => parent.to_owned(),
            field => format!("{parent}.{field}"),
        };
        self
    }
}
