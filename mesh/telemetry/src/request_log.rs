//! A waypoint's access log, in Envoy's two forms (telemetry.md §5).

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Version;
use http::header::{HeaderName, USER_AGENT};
use http::request::Parts;
use mesh_model::LogEncoding;
use time::OffsetDateTime;
use time::macros::format_description;
use tracing::info;

use crate::RequestEnd;

/// What a line says beside the outcome; what is absent is written `-`.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the names say it
pub struct RequestDetails {
    pub start: SystemTime,
    pub method: String,
    /// As the client sent it.
    pub path: String,
    pub protocol: &'static str,
    pub x_forwarded_for: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    pub authority: Option<String>,
    pub response_code_details: Option<Cow<'static, str>>,
    pub connection_termination_details: Option<String>,
    pub upstream_transport_failure: Option<String>,
    pub upstream_service_time: Option<Duration>,
    pub upstream_host: Option<SocketAddr>,
    /// `inbound-vip|<port>|<http|tcp>[/<subset>]|<hostname>`
    pub upstream_cluster: Option<String>,
    pub upstream_local_address: Option<SocketAddr>,
    pub downstream_local_address: Option<SocketAddr>,
    pub downstream_remote_address: Option<SocketAddr>,
    pub requested_server_name: Option<String>,
    pub route_name: Option<Arc<str>>,
}

impl RequestDetails {
    /// What the request itself says.
    pub fn of(request: &Parts) -> Self {
        let header = |name: &HeaderName| {
            request.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let named = |name: &'static str| header(&HeaderName::from_static(name));
        let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
        RequestDetails {
            start: SystemTime::now(),
            method: request.method.to_string(),
            path: path.to_owned(),
            protocol: match request.version {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2",
                Version::HTTP_3 => "HTTP/3",
                _ => "HTTP/1.1",
            },
            x_forwarded_for: named("x-forwarded-for"),
            user_agent: header(&USER_AGENT),
            request_id: named("x-request-id"),
            authority: request.uri.authority().map(ToString::to_string).or_else(|| named("host")),
            response_code_details: None,
            connection_termination_details: None,
            upstream_transport_failure: None,
            upstream_service_time: None,
            upstream_host: None,
            upstream_cluster: None,
            upstream_local_address: None,
            downstream_local_address: None,
            downstream_remote_address: None,
            requested_server_name: None,
            route_name: None,
        }
    }

    pub(crate) fn write(&self, encoding: LogEncoding, end: &RequestEnd, duration: Duration) {
        match encoding {
            LogEncoding::Text => info!(target: "access", "{}", self.text(end, duration)),
            LogEncoding::Json => info!(target: "access", "{}", self.json(end, duration)),
        }
    }

    fn text<'a>(&'a self, end: &'a RequestEnd, duration: Duration) -> Line<'a> {
        Line { details: self, end, duration }
    }

    fn json(&self, end: &RequestEnd, duration: Duration) -> serde_json::Value {
        serde_json::json!({
            "start_time": start_time(self.start),
            "route_name": self.route_name.as_deref(),
            "method": self.method,
            "path": self.path,
            "protocol": self.protocol,
            "response_code": end.code,
            "response_flags": end.flags.to_string(),
            "response_code_details": self.response_code_details,
            "connection_termination_details": self.connection_termination_details,
            "bytes_received": end.received,
            "bytes_sent": end.sent,
            "duration": milliseconds(duration),
            "upstream_service_time": self.upstream_service_time.map(milliseconds),
            "x_forwarded_for": self.x_forwarded_for,
            "user_agent": self.user_agent,
            "request_id": self.request_id,
            "authority": self.authority,
            "upstream_host": self.upstream_host.map(|address| address.to_string()),
            "upstream_cluster": self.upstream_cluster,
            "upstream_local_address": self.upstream_local_address.map(|address| address.to_string()),
            "downstream_local_address": self.downstream_local_address.map(|address| address.to_string()),
            "downstream_remote_address": self.downstream_remote_address.map(|address| address.to_string()),
            "requested_server_name": self.requested_server_name,
            "upstream_transport_failure_reason": self.upstream_transport_failure,
        })
    }
}

struct Line<'a> {
    details: &'a RequestDetails,
    end: &'a RequestEnd,
    duration: Duration,
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { details, end, .. } = self;
        write!(f, "[{}] ", start_time(details.start))?;
        let request = format!("{} {} {}", details.method, details.path, details.protocol);
        write!(f, "{} {} {} ", Quoted(Some(&request)), end.code, end.flags)?;
        write!(f, "{} ", Bare(details.response_code_details.as_deref()))?;
        write!(f, "{} ", Bare(details.connection_termination_details.as_deref()))?;
        write!(f, "{} ", Quoted(details.upstream_transport_failure.as_deref()))?;
        write!(f, "{} {} {} ", end.received, end.sent, milliseconds(self.duration))?;
        write!(f, "{} ", Bare(details.upstream_service_time.map(milliseconds)))?;
        write!(f, "{} ", Quoted(details.x_forwarded_for.as_deref()))?;
        write!(f, "{} ", Quoted(details.user_agent.as_deref()))?;
        write!(f, "{} ", Quoted(details.request_id.as_deref()))?;
        write!(f, "{} ", Quoted(details.authority.as_deref()))?;
        write!(f, "{} ", Quoted(details.upstream_host.map(|address| address.to_string()).as_deref()))?;
        write!(f, "{} ", Bare(details.upstream_cluster.as_deref()))?;
        write!(f, "{} ", Bare(details.upstream_local_address))?;
        write!(f, "{} ", Bare(details.downstream_local_address))?;
        write!(f, "{} ", Bare(details.downstream_remote_address))?;
        write!(f, "{} ", Bare(details.requested_server_name.as_deref()))?;
        write!(f, "{}", Bare(details.route_name.as_deref()))
    }
}

struct Bare<T>(Option<T>);

impl<T: Display> Display for Bare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// A text from outside cannot end its own quotes.
struct Quoted<'a>(Option<&'a str>);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.unwrap_or("-").escape_default())
    }
}

fn start_time(start: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(start).format(format).unwrap_or_default()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
