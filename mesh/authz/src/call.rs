//! What is known of a request at a waypoint, or of a connection there that carries none, when it is judged.

use std::net::IpAddr;

use http::HeaderMap;

use crate::{Connection, Token};

/// A request or connection as the policies of waypoints see it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The connection it came by; its destination is what the client addressed, a service and its port.
    pub connection: Connection<'a>,
    /// The client's address as the last proxy before the mesh tells it, or else the connection's source. None if
    /// what a proxy told cannot be read.
    pub remote: Option<IpAddr>,
    /// The name its client asked for by TLS.
    pub sni: Option<&'a str>,
    /// The request; none where the connection carries no HTTP.
    pub request: Option<Request<'a>>,
}

/// A request, made uniform before.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// For instance `GET`.
    pub method: &'a str,
    /// The host, with its port if it has one.
    pub host: &'a str,
    /// The path without its query.
    pub path: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// What its token says, if it had a good one.
    pub token: Option<&'a Token>,
}
