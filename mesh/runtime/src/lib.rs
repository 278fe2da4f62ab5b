//! What every program of the mesh needs to run: logging, worker threads, drain,
//! readiness, shutdown, an admin server and typed environment variables.

pub mod accepting;
pub mod admin;
pub mod drain;
pub mod env;
pub mod footprint;
pub mod heap;
pub mod logging;
pub mod readiness;
pub mod shutdown;
pub mod workers;
