//! HBONE (wire.md §2): TCP connections as CONNECT streams over mTLS, accepted
//! by [`serve`] and opened through a [`Pool`].
//!
//! What carries the bytes stays behind [`TlsStream`] and [`TunnelStream`]. Framing and
//! records are our own, because copies are what a tunnel costs: payload is read to
//! where it is framed and sealed, and written from where it was opened.

mod client;
mod connection;
mod copy;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod pool;
mod request;
mod server;
mod settings;
mod target;
#[cfg(test)]
mod testing;
mod tls;
mod tunnel;

pub use client::{ResponseInfo, connect_unpooled};
pub use copy::copy_with_tcp;
pub use error::{Broken, ConnectError, DialError, ServeError, TlsError};
pub use http::StatusCode;
pub use pool::{Pool, PoolKey};
pub use request::{ConnectRequest, InvalidRequest};
pub use server::{Incoming, serve};
pub use settings::Settings;
pub use target::{InvalidTarget, Target};
pub use tls::TlsStream;
pub use tunnel::TunnelStream;
