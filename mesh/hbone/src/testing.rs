//! What the tests of this crate share: two workloads, and connections in memory
//! between them, so that time can stand still.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_identity::authority::{Authority, RootKey};
use mesh_identity::key::KeyRequest;
use mesh_identity::{Certificate, Profile, tls};
use mesh_model::Identity;
use mesh_runtime::drain::{self, DrainTrigger, DrainWatcher};
use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::{
    ConnectError, ConnectRequest, DialError, Incoming, Pool, PoolKey, ResponseInfo, Settings, TlsStream,
    TunnelStream, serve,
};

pub(crate) const SOON: Duration = Duration::from_secs(5);

pub(crate) fn workload(name: &str) -> Identity {
    Identity::new("cluster.local", "default", name)
}

pub(crate) fn request(target: &str) -> ConnectRequest {
    ConnectRequest::new(target.parse().unwrap())
}

/// The certificates of one trust domain, each made once.
pub(crate) struct Certificates {
    authority: Authority,
    made: Mutex<Vec<Arc<Certificate>>>,
    profile: Profile,
}

impl Certificates {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(Profile::default())
    }

    pub(crate) fn with(profile: Profile) -> Arc<Self> {
        let authority =
            Authority::self_signed("cluster.local", Duration::from_hours(24), RootKey::Ecdsa).unwrap();
        Arc::new(Certificates { authority, made: Mutex::default(), profile })
    }

    pub(crate) fn of(&self, identity: &Identity) -> Arc<Certificate> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = made.iter().find(|held| held.identity() == identity) {
            return Arc::clone(held);
        }
        let request = KeyRequest::generate(identity).unwrap();
        let chain = self.authority.sign(request.csr_pem(), identity, 3600).unwrap();
        let fresh = Arc::new(Certificate::from_chain(identity, &chain, request, self.profile).unwrap());
        made.push(Arc::clone(&fresh));
        fresh
    }

    /// A connection from `web` to `db`: both ends of it.
    pub(crate) async fn pair(&self) -> (TlsStream<DuplexStream>, TlsStream<DuplexStream>) {
        let (near, far) = tokio::io::duplex(256 * 1024);
        let (web, db) = (self.of(&workload("web")), self.of(&workload("db")));
        let expected = [workload("db")];
        let (connected, accepted) =
            tokio::join!(TlsStream::connect(near, &web, &expected, SOON), TlsStream::accept(far, &db, SOON));
        (connected.unwrap(), accepted.unwrap())
    }

    /// The same, but at `web` rustls alone: for the oracle to speak over.
    pub(crate) async fn with_client_oracle(
        &self,
    ) -> (client::TlsStream<DuplexStream>, TlsStream<DuplexStream>) {
        let (near, far) = tokio::io::duplex(256 * 1024);
        let (web, db) = (self.of(&workload("web")), self.of(&workload("db")));
        let connector = TlsConnector::from(tls::client_config(&web, &[workload("db")]));
        let (connected, accepted) =
            tokio::join!(connector.connect(tls::server_name(), near), TlsStream::accept(far, &db, SOON));
        (connected.unwrap(), accepted.unwrap())
    }

    /// The same at `db`.
    pub(crate) async fn with_server_oracle(
        &self,
    ) -> (TlsStream<DuplexStream>, server::TlsStream<DuplexStream>) {
        let (near, far) = tokio::io::duplex(256 * 1024);
        let (web, db) = (self.of(&workload("web")), self.of(&workload("db")));
        let expected = [workload("db")];
        let acceptor = TlsAcceptor::from(tls::server_config(&db));
        let (connected, accepted) =
            tokio::join!(TlsStream::connect(near, &web, &expected, SOON), acceptor.accept(far));
        (connected.unwrap(), accepted.unwrap())
    }
}

/// Serves `db` to whoever dials, in memory, every connection with the same handler.
pub(crate) struct Far {
    certificates: Arc<Certificates>,
    pub(crate) settings: Settings,
    pub(crate) dials: AtomicUsize,
    watcher: Mutex<Option<(DrainTrigger, DrainWatcher)>>,
}

impl Far {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        let watcher = Mutex::new(Some(drain::channel()));
        Arc::new(Far { certificates: Certificates::new(), settings, dials: AtomicUsize::new(0), watcher })
    }

    pub(crate) fn dials(&self) -> usize {
        self.dials.load(Ordering::SeqCst)
    }

    /// Ends every connection so far in this way; later ones are served as before.
    pub(crate) fn drain(&self, mode: drain::Mode) -> tokio::task::JoinHandle<drain::Drained> {
        let (trigger, watcher) = self.watcher.lock().unwrap().replace(drain::channel()).unwrap();
        drop(watcher);
        tokio::spawn(trigger.start(mode, SOON))
    }

    /// A dial of `source` to this end, where every tunnel is an echo that first
    /// says whose connection it came by and where it leads.
    pub(crate) async fn dial(
        self: Arc<Self>,
        source: Identity,
    ) -> Result<TlsStream<DuplexStream>, DialError> {
        self.dials.fetch_add(1, Ordering::SeqCst);
        let (near, far) = tokio::io::duplex(256 * 1024);
        let own = self.certificates.of(&workload("db"));
        let watcher = self.watcher.lock().unwrap().as_ref().unwrap().1.clone();
        let settings = self.settings.clone();
        tokio::spawn(async move {
            let Ok(tls) = TlsStream::accept(far, &own, SOON).await else { return };
            let peer = tls.peer_identity().clone();
            let handler = move |incoming: Incoming| echo(incoming, peer.clone());
            let _ = serve(tls, &settings, watcher, handler).await;
        });
        let certificate = self.certificates.of(&source);
        Ok(TlsStream::connect(near, &certificate, &[workload("db")], SOON).await?)
    }
}

async fn echo(incoming: Incoming, peer: Identity) {
    let greeting = format!("{} {}\n", peer.service_account, incoming.request.target);
    let Ok(mut tunnel) = incoming.accept(&[("baggage", "service.name=db")]) else { return };
    if tunnel.write_all(greeting.as_bytes()).await.is_err() {
        return;
    }
    let (mut reader, mut writer) = tokio::io::split(tunnel);
    if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
        let _ = writer.shutdown().await;
    }
}

pub(crate) fn key(source: &str, destination: &str) -> PoolKey {
    let destination: SocketAddr = destination.parse().unwrap();
    PoolKey {
        source: workload(source),
        accepted: vec![workload("db")],
        destination,
        source_ip: [10, 0, 0, 1].into(),
    }
}

/// A tunnel through the pool to `far`.
pub(crate) async fn connect(
    pool: &Pool,
    far: &Arc<Far>,
    key: &PoolKey,
    target: &str,
) -> Result<(TunnelStream, ResponseInfo), ConnectError> {
    let dial = || Arc::clone(far).dial(key.source.clone());
    pool.connect(key, dial, &request(target)).await
}

/// Reads the greeting of [`Far`].
pub(crate) async fn greeting(tunnel: &mut TunnelStream) -> String {
    let mut text = String::new();
    loop {
        match tunnel.read_u8().await.unwrap() {
            b'\n' => return text,
            byte => text.push(byte.into()),
        }
    }
}

/// An HTTP/2 frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Frames of well-formed length and nothing else, so that they get past the first check.
pub(crate) fn random_frames() -> Vec<u8> {
    let mut random = rand::rng();
    let mut bytes = Vec::new();
    for _ in 0..random.random_range(1..20) {
        let payload: Vec<u8> = (0..random.random_range(0..60)).map(|_| random.random()).collect();
        bytes.extend(frame(random.random_range(0..12), random.random(), random.random_range(0..8), &payload));
    }
    bytes
}

/// Sends a word through an echo and checks that it comes back.
pub(crate) async fn check_echo(tunnel: &mut TunnelStream, word: &[u8]) {
    tunnel.write_all(word).await.unwrap();
    let mut back = vec![0; word.len()];
    tunnel.read_exact(&mut back).await.unwrap();
    assert_eq!(back, word);
}
