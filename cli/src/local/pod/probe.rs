//! Probes: whether a container has started, takes traffic, still lives.
//!
//! They connect to the pod's address from inside its network, where capture leaves them alone; in a
//! cluster the kubelet does so from the node, under an address that capture exempts.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use http_body_util::Full;
use k8s_openapi::api::core::v1::{self, ContainerPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

use super::Place;
use super::process::Process;
use crate::local::network::connect;
use crate::{exchange, grpc};

/// Where a probe goes.
pub(super) struct Target<'a> {
    pub(super) place: &'a Place,
    /// For `exec`.
    pub(super) surroundings: &'a Path,
}

#[derive(Clone, Debug, PartialEq)]
enum Check {
    Http { port: u16, path: String, headers: HeaderMap },
    Tcp { port: u16 },
    Grpc { port: u16, service: String },
    Exec { command: Vec<String> },
}

/// One probe of a container.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::local) struct Probe {
    check: Check,
    initial_delay: Duration,
    period: Duration,
    timeout: Duration,
    successes: u32,
    failures: u32,
}

impl Probe {
    /// From a manifest; the error says what cannot be used.
    pub(super) fn new(probe: &v1::Probe, ports: &[ContainerPort]) -> Result<Self, String> {
        // Kubernetes' defaults and lower bounds.
        let number = |value: Option<i32>, default: u32| match value.map(u32::try_from) {
            Some(Ok(number)) if number > 0 => number,
            _ => default,
        };
        let seconds = |value, default| Duration::from_secs(number(value, default).into());
        Ok(Probe {
            check: Check::new(probe, ports)?,
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            successes: number(probe.success_threshold, 1),
            failures: number(probe.failure_threshold, 3),
        })
    }

    /// Waits until it has succeeded; the error is its last failure, when it has failed for good.
    pub(super) async fn wait_success(&self, target: &Target<'_>) -> Result<(), String> {
        let mut result = Err(String::new());
        self.watch(target, |outcome| {
            result = outcome;
            true
        })
        .await;
        result
    }

    /// Waits until it has failed for good.
    pub(super) async fn wait_failure(&self, target: &Target<'_>) -> String {
        let mut reason = String::new();
        self.watch(target, |outcome| {
            reason = outcome.err().unwrap_or_default();
            !reason.is_empty()
        })
        .await;
        reason
    }

    /// Tells every outcome.
    pub(super) async fn follow(
        &self,
        target: &Target<'_>,
        mut tell: impl FnMut(Result<(), String>),
    ) -> Infallible {
        let mut tell = |outcome| {
            tell(outcome);
            false
        };
        loop {
            self.watch(target, &mut tell).await;
        }
    }

    /// Probes, and tells an outcome once enough probes in a row agree on it, until `done` says so.
    async fn watch(&self, target: &Target<'_>, mut done: impl FnMut(Result<(), String>) -> bool) {
        tokio::time::sleep(self.initial_delay).await;
        // A program that has just started often listens a moment later; the period is for the long run.
        let mut eager = 20_u32;
        let (mut successes, mut failures) = (0, 0);
        loop {
            let outcome = match tokio::time::timeout(self.timeout, self.check.run(target)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!("no answer within {} s", self.timeout.as_secs())),
            };
            let is_early = outcome.is_err() && eager > 0;
            eager = if is_early { eager - 1 } else { 0 };
            (successes, failures) = match outcome {
                Ok(()) => (successes + 1, 0),
                Err(_) if is_early => (0, 0),
                Err(_) => (0, failures + 1),
            };
            let is_settled = successes >= self.successes || failures >= self.failures;
            if is_settled && done(outcome) {
                return;
            }
            tokio::time::sleep(if is_early {
                self.period.min(Duration::from_millis(100))
            } else {
                self.period
            })
            .await;
        }
    }
}

impl Check {
    fn new(probe: &v1::Probe, ports: &[ContainerPort]) -> Result<Self, String> {
        if let Some(http) = &probe.http_get {
            if http.scheme.as_deref().is_some_and(|scheme| scheme != "HTTP") {
                return Err("httpGet by HTTPS is not supported; use tcpSocket".to_owned());
            }
            let mut headers = HeaderMap::new();
            for header in http.http_headers.iter().flatten() {
                let (name, value) = (header.name.parse::<HeaderName>(), header.value.parse::<HeaderValue>());
                let (Ok(name), Ok(value)) = (name, value) else {
                    return Err(format!("the header {:?} is none of HTTP", header.name));
                };
                headers.append(name, value);
            }
            let path =
                http.path.clone().filter(|path| path.starts_with('/')).unwrap_or_else(|| "/".to_owned());
            return Ok(Check::Http { port: port(&http.port, ports)?, path, headers });
        }
        if let Some(tcp) = &probe.tcp_socket {
            return Ok(Check::Tcp { port: port(&tcp.port, ports)? });
        }
        if let Some(grpc) = &probe.grpc {
            let port = port(&IntOrString::Int(grpc.port), ports)?;
            return Ok(Check::Grpc { port, service: grpc.service.clone().unwrap_or_default() });
        }
        match probe.exec.as_ref().and_then(|exec| exec.command.clone()) {
            Some(command) if !command.is_empty() => Ok(Check::Exec { command }),
            _ => Err("it has none of httpGet, tcpSocket, grpc, exec".to_owned()),
        }
    }

    async fn run(&self, target: &Target<'_>) -> Result<(), String> {
        match self {
            Check::Http { port, path, headers } => {
                let stream = target.connect(*port).await?;
                let mut request = request(Method::GET, Version::HTTP_11, path, Bytes::new())?;
                request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
                request.headers_mut().extend(headers.clone());
                let answer =
                    exchange::send_http1(stream, request).await.map_err(|error| error.to_string())?;
                let status = answer.status.as_u16();
                if (200..400).contains(&status) { Ok(()) } else { Err(format!("{path} answered {status}")) }
            }
            Check::Tcp { port } => target.connect(*port).await.map(drop),
            Check::Grpc { port, service } => {
                let stream = target.connect(*port).await?;
                let uri = "http://localhost/grpc.health.v1.Health/Check";
                let body = grpc::encode(service.as_bytes());
                let mut request = request(Method::POST, Version::HTTP_2, uri, body)?;
                request.headers_mut().insert(CONTENT_TYPE, grpc::CONTENT);
                request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
                let answer =
                    exchange::send_http2(stream, request).await.map_err(|error| error.to_string())?;
                if answer.body == grpc::SERVING {
                    Ok(())
                } else {
                    Err("the health service does not say SERVING".to_owned())
                }
            }
            Check::Exec { command } => run_command(target.surroundings, command).await,
        }
    }
}

impl Target<'_> {
    async fn connect(&self, port: u16) -> Result<TcpStream, String> {
        let address = SocketAddr::new(IpAddr::V4(self.place.address), port);
        connect(&self.place.namespace, address).await.map_err(|error| format!("port {port}: {error}"))
    }
}

async fn run_command(surroundings: &Path, command: &[String]) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut process = Process::start(surroundings, command, Path::new("/dev/null")).map_err(failed)?;
    let status = process.wait().await.map_err(failed)?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", command.join(" "))) }
}

fn request(method: Method, version: Version, uri: &str, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
    let request =
        Request::builder().method(method).version(version).uri(uri).header(USER_AGENT, "kube-probe/adit");
    request.body(Full::new(body)).map_err(|error| error.to_string())
}

fn port(port: &IntOrString, ports: &[ContainerPort]) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => ports
            .iter()
            .find(|port| port.name.as_deref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok()),
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("{port:?} is no port of the container"))
}

#[cfg(test)]
mod tests;
