//! Backends that do as the test says, and remember what they were asked.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_hbone::{Settings, StatusCode, Target, TlsStream};
use mesh_model::Identity;
use mesh_runtime::drain;
use mesh_testkit::authority::FakeCa;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::detect::{Protocol, detect};

/// What a backend was asked.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The host, as its version of HTTP says it.
    pub(super) fn host(&self) -> &str {
        self.uri.authority().map(|host| host.as_str()).or_else(|| self.header("host")).unwrap()
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path_and_query().unwrap().as_str()
    }
}

pub(super) type TestBody = BoxBody<Bytes, Infallible>;

/// What a backend does about a request.
pub(super) enum Act {
    Answer(Response<TestBody>),
    /// Answers a WebSocket handshake, then echoes.
    Upgrade,
    /// Breaks the connection (HTTP/1) or the stream (HTTP/2).
    Reset,
    /// Never answers.
    Hang,
    /// Answers later.
    Later(Duration, Response<TestBody>),
    /// Answers once it is told to.
    When(Arc<Notify>, Response<TestBody>),
}

impl Act {
    pub(super) fn text(status: u16, body: &str) -> Act {
        let body = Full::new(Bytes::from(body.to_owned())).boxed();
        Act::Answer(Response::builder().status(status).body(body).unwrap())
    }
}

type Script = dyn Fn(usize, &Seen) -> Act + Send + Sync;

/// A server on one address.
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Backend {
    /// Serves HTTP/1 and HTTP/2; the script is told how many requests came before.
    pub(super) async fn start(
        ip: IpAddr,
        script: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static,
    ) -> Backend {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let shared = seen.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, script.clone(), shared.clone()));
            }
        });
        Backend { address, seen }
    }

    /// What it was asked so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// What it was asked, when it was asked once.
    pub(super) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }
}

async fn serve(stream: TcpStream, script: Arc<Script>, seen: Arc<Mutex<Vec<Seen>>>) {
    let Ok((protocol, stream)) = detect(stream, Duration::from_secs(60)).await else { return };
    let service = service_fn(move |request| respond(request, script.clone(), seen.clone()));
    let io = TokioIo::new(stream);
    // Clients break connections on purpose here.
    let _ = match protocol {
        Protocol::Http2 => http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await,
        _ => http1::Builder::new().serve_connection(io, service).with_upgrades().await,
    };
}

async fn respond(
    mut request: Request<Incoming>,
    script: Arc<Script>,
    all: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<TestBody>, &'static str> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| "the request broke off")?;
    let seen = Seen {
        method: head.method,
        uri: head.uri,
        version: head.version,
        headers: head.headers,
        trailers: body.trailers().cloned(),
        body: body.to_bytes(),
    };
    let before = {
        let mut all = all.lock().unwrap();
        all.push(seen.clone());
        all.len() - 1
    };
    match script(before, &seen) {
        Act::Answer(response) => Ok(response),
        Act::Reset => Err("as the test says"),
        Act::Hang => std::future::pending().await,
        Act::Later(delay, response) => {
            tokio::time::sleep(delay).await;
            Ok(response)
        }
        Act::When(told, response) => {
            told.notified().await;
            Ok(response)
        }
        Act::Upgrade => {
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.unwrap());
                let (mut reader, mut writer) = tokio::io::split(&mut stream);
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
            let response = Response::builder().status(101).header("upgrade", "websocket");
            Ok(response.header("connection", "upgrade").body(Full::default().boxed()).unwrap())
        }
    }
}

/// The ztunnel of one pod: takes HBONE on the pod's address and connects to its
/// ports. Remembers who asked for what.
pub(super) struct NodeProxy {
    pub(super) asked: Arc<Mutex<Vec<(Identity, Target)>>>,
}

impl NodeProxy {
    pub(super) async fn start(ip: IpAddr, own: Identity, ca: &FakeCa) -> NodeProxy {
        let listener = TcpListener::bind((ip, 15008)).await.unwrap();
        let (asked, certificate) = (Arc::new(Mutex::new(Vec::new())), ca.certificate(&own));
        let (trigger, watcher) = drain::channel();
        let shared = asked.clone();
        tokio::spawn(async move {
            let _trigger = trigger;
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (certificate, asked, watcher) = (certificate.clone(), shared.clone(), watcher.clone());
                tokio::spawn(async move {
                    let tls = TlsStream::accept(stream, &certificate, Duration::from_secs(5)).await.unwrap();
                    let peer = tls.peer_identity().clone();
                    let handler = move |incoming| tunnel(incoming, peer.clone(), asked.clone());
                    let _ = mesh_hbone::serve(tls, &Settings::default(), watcher, handler).await;
                });
            }
        });
        NodeProxy { asked }
    }
}

async fn tunnel(incoming: mesh_hbone::Incoming, peer: Identity, asked: Arc<Mutex<Vec<(Identity, Target)>>>) {
    let target = incoming.request.target.clone();
    asked.lock().unwrap().push((peer, target.clone()));
    let Target::Address(address) = target else { return incoming.refuse(StatusCode::BAD_REQUEST) };
    match TcpStream::connect(address).await {
        Ok(mut tcp) => {
            let mut stream = incoming.accept(&[]).unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut tcp).await;
        }
        Err(_) => incoming.refuse(StatusCode::SERVICE_UNAVAILABLE),
    }
}
