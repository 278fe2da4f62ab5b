//! The listener of proxies: discovery and certificates on one port, over TLS.

pub(crate) mod accept;
mod certificate;
mod lanes;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use mesh_proto::discovery::aggregated_discovery_service_server::{
    AggregatedDiscoveryServiceServer, SERVICE_NAME as DISCOVERY,
};
use mesh_proto::istio::ca::istio_certificate_service_server::{
    IstioCertificateServiceServer, SERVICE_NAME as CERTIFICATES,
};
use mesh_xds::DiscoveryServer;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::Server;

use crate::admission::Gate;
use crate::ca::CertificateService;
pub use certificate::ServingCertificate;

/// What an aged connection is still given; discovery streams never end by themselves.
const AGE_GRACE: Duration = Duration::from_secs(10);
/// How long established streams may take to end.
const DRAIN: Duration = Duration::from_secs(5);

/// The two services, told apart by path.
#[derive(Clone)]
pub struct Services {
    /// Resources.
    pub discovery: AggregatedDiscoveryServiceServer<DiscoveryServer<Gate>>,
    /// Certificates.
    pub certificates: IstioCertificateServiceServer<CertificateService>,
}

impl Service<http::Request<Body>> for Services {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match request.uri().path().split('/').nth(1) {
            Some(DISCOVERY) => self.discovery.call(request),
            Some(CERTIFICATES) => self.certificates.call(request),
            _ => async { Ok(Status::unimplemented("no such service here").into_http()) }.boxed(),
        }
    }
}

/// Serves until `stop`, then lets streams end for a while. The port is free when it returns.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    services: Services,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let stop = stop.shared();
    let (connections, accepting) = accept::secured(listener, tls);
    let (senders, lanes) = lanes::lanes();
    let servers = lanes.into_iter().zip(lanes::ages()).map(|(connections, age)| {
        Server::builder()
            .max_concurrent_streams(256)
            .http2_max_header_list_size(32 << 10)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            // Then a connection is ended kindly, so that proxies spread over replicas that came later.
            .max_connection_age(age)
            .max_connection_age_grace(AGE_GRACE)
            .serve_with_incoming_shutdown(services.clone(), connections, stop.clone())
    });
    let served = tokio::select! {
        result = try_join_all(servers) => Ok(result.map(drop)?),
        // What has been dealt out is still served.
        never = lanes::deal(connections, senders).then(|()| std::future::pending()) => never,
        () = stop.clone().then(|()| tokio::time::sleep(DRAIN)) => Ok(()),
    };
    // The server, and with it the stream of connections, is dropped by now.
    let _ = accepting.await;
    served
}
