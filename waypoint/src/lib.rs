//! The L7 proxy of a service: terminates HBONE, authorizes, routes, retries, times out, injects
//! faults, mirrors, and sends on by HBONE. The path of a request is one page: `http.rs`.

mod admin;
mod balance;
mod client_hello;
mod config;
mod consent;
mod control;
mod detect;
mod dump;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handed;
mod health;
mod hedging;
mod http;
mod names;
mod outside;
mod own_call;
mod own_request;
mod plan;
mod rate_limits;
mod reporting;
mod routes;
mod run;
mod security;
mod session;
mod spans;
mod stream;
mod tcp;
#[cfg(test)]
mod tests;
mod tokens;
mod tunnel;
mod upstream;
mod wildcard;
mod worker;

pub use config::{Config, InvalidConfig, OwnPod, Place, Ports, RequestLog, Server};
pub use run::run;
