//! What the tests of this crate share.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_model::Identity;
use mesh_proto::istio::ca::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use mesh_proto::istio::ca::{IstioCertificateRequest, IstioCertificateResponse};
use rustls::{ClientConfig, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::authority::{Authority, RootKey};
use crate::certificate::Certificate;
use crate::key::KeyRequest;
use crate::provider::Profile;
use crate::tls;

pub(crate) fn authority() -> Authority {
    Authority::self_signed("cluster.local", Duration::from_hours(24 * 365), RootKey::Ecdsa).unwrap()
}

pub(crate) fn workload(name: &str) -> Identity {
    Identity::new("cluster.local", "default", name)
}

/// A certificate that trusts its own authority and whatever else is in `roots`.
pub(crate) fn certificate(
    authority: &Authority,
    identity: &Identity,
    roots: &[&Authority],
    profile: Profile,
) -> Certificate {
    let request = KeyRequest::generate(identity).unwrap();
    let mut chain = authority.sign(request.csr_pem(), identity, 3600).unwrap();
    for root in roots {
        chain.last_mut().unwrap().push_str(root.root_pem());
    }
    Certificate::from_chain(identity, &chain, request, profile).unwrap()
}

pub(crate) type Accepted = std::io::Result<server::TlsStream<tokio::io::DuplexStream>>;
pub(crate) type Connected = std::io::Result<client::TlsStream<tokio::io::DuplexStream>>;

/// A handshake, and one byte from the server: in TLS 1.3 the client learns only
/// with it whether its certificate was accepted.
pub(crate) async fn handshake(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> (Accepted, Connected) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (near, far) = tokio::io::duplex(64 * 1024);
    let accept = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        stream.write_all(b"x").await?;
        stream.flush().await?;
        Ok(stream)
    };
    let connect = async {
        let mut stream = TlsConnector::from(client).connect(tls::server_name(), near).await?;
        stream.read_exact(&mut [0]).await?;
        Ok(stream)
    };
    tokio::join!(accept, connect)
}

/// The CA's gRPC server on loopback; hands out what it was asked.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    authority: Arc<Mutex<Arc<Authority>>>,
    pub(crate) requests: tokio::sync::mpsc::Receiver<Request<IstioCertificateRequest>>,
}

impl Server {
    /// Serves TLS with a certificate for 127.0.0.1 and `names`, signed anew for
    /// every connection, or plain text.
    pub(crate) async fn start(
        authority: Arc<Authority>,
        names: &'static [&'static str],
        secure: bool,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let authority = Arc::new(Mutex::new(authority));
        let (seen, requests) = tokio::sync::mpsc::channel(16);
        let (accepted, connections) = tokio::sync::mpsc::channel(16);
        let signer = Arc::clone(&authority);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (near, mut far) = tokio::io::duplex(64 * 1024);
                let config = {
                    let authority = Arc::clone(&signer.lock().unwrap());
                    let ips = [Ipv4Addr::LOCALHOST.into()];
                    tls::control_plane_config(
                        &authority.sign_server(names, &ips, Duration::from_secs(60)).unwrap(),
                    )
                };
                tokio::spawn(async move {
                    if secure {
                        if let Ok(mut tls) = TlsAcceptor::from(config.unwrap()).accept(tcp).await {
                            let _ = tokio::io::copy_bidirectional(&mut tls, &mut far).await;
                        }
                    } else {
                        let mut tcp = tcp;
                        let _ = tokio::io::copy_bidirectional(&mut tcp, &mut far).await;
                    }
                });
                if accepted.send(Ok::<_, std::io::Error>(near)).await.is_err() {
                    return;
                }
            }
        });
        let service = IstioCertificateServiceServer::new(Service { authority: Arc::clone(&authority), seen });
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(ReceiverStream::new(connections)));
        Server { address, authority, requests }
    }

    /// From now on this authority signs, and certifies the server.
    pub(crate) fn switch(&self, authority: Arc<Authority>) {
        *self.authority.lock().unwrap() = authority;
    }
}

struct Service {
    authority: Arc<Mutex<Arc<Authority>>>,
    seen: tokio::sync::mpsc::Sender<Request<IstioCertificateRequest>>,
}

#[tonic::async_trait]
impl IstioCertificateService for Service {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let csr = request.get_ref().csr.clone();
        let _ = self.seen.try_send(request);
        let authority = Arc::clone(&self.authority.lock().unwrap());
        match authority.sign(&csr, &workload("web"), 60) {
            Ok(cert_chain) => Ok(Response::new(IstioCertificateResponse { cert_chain })),
            Err(error) => Err(Status::invalid_argument(error.to_string())),
        }
    }
}
