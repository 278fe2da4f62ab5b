//! The way into the application, which takes a permit, and the copy, which
//! lasts only as long as policies permit it.

use std::net::{IpAddr, SocketAddr};

use mesh_authz::Permit;
use mesh_net::copy::CopyError;
use tokio::net::TcpStream;

use super::guard::Guard;
use crate::journal::Ended;
use crate::proxy::{ConnectFailure, Pod};

/// Asks for a permit and uses it.
pub(super) async fn connect(
    pod: &Pod,
    guard: &Guard,
    source: IpAddr,
    upstream: SocketAddr,
) -> Result<TcpStream, Ended> {
    let permit = guard.authorize().map_err(Ended::Denied)?;
    Ok(open(pod, permit, source, upstream).await?)
}

async fn open(
    pod: &Pod,
    _: Permit,
    source: IpAddr,
    upstream: SocketAddr,
) -> Result<TcpStream, ConnectFailure> {
    pod.connect(upstream, kept_source(pod.mesh.settings.original_source, source, upstream)).await
}

/// The application sees the client's address (wire.md §1), except where the
/// pod talks to itself: replies from its own address would not find the way back.
fn kept_source(original_source: bool, source: IpAddr, upstream: SocketAddr) -> Option<IpAddr> {
    let own = upstream.ip().is_loopback() || upstream.ip() == source;
    (original_source && !own).then_some(source)
}

/// Copies until the end, or until a policy denies what was permitted.
pub(super) async fn copy_while_permitted(
    copy: impl Future<Output = Result<(), CopyError>>,
    guard: &mut Guard,
) -> Result<(), Ended> {
    tokio::select! {
        copied = copy => copied.map_err(Ended::Broken),
        denial = guard.revoked() => Err(Ended::Revoked(denial)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cap_05_the_application_sees_the_client_except_the_pod_itself() {
        let client: IpAddr = "10.0.0.1".parse().unwrap();
        for (original_source, upstream, kept) in [
            (true, "10.0.0.2:80", Some(client)),
            (false, "10.0.0.2:80", None),
            (true, "10.0.0.1:80", None),
            (true, "127.0.0.1:80", None),
        ] {
            assert_eq!(kept_source(original_source, client, upstream.parse().unwrap()), kept, "{upstream}");
        }
    }
}
