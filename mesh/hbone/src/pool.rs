//! Connections shared by tunnels with the same key (HB-12): one dial at a time
//! for a key, a bounded number of tunnels on a connection, none kept unused.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use mesh_model::Identity;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::client::{self, Asker, Failure, ResponseInfo, Usage};
use crate::connection::{Connection, Driver};
use crate::error::{ConnectError, DialError};
use crate::request::ConnectRequest;
use crate::settings::Settings;
use crate::tls::{Carrier, TlsStream};
use crate::tunnel::{Place, TunnelStream};

/// Connections dialled for a request that may end before they took it.
const DIALS: usize = 3;

/// What tunnels must have in common to share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// As whom we connect.
    pub source: Identity,
    /// Who may answer, in order.
    pub accepted: Vec<Identity>,
    /// The next hop.
    pub destination: SocketAddr,
    /// The workload's address.
    pub source_ip: IpAddr,
}

/// The connections of one worker; clones share them. Those that carry tunnels
/// outlive the pool until their last tunnel ends.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    slots: Mutex<HashMap<PoolKey, Slot>>,
    settings: Settings,
}

#[derive(Default)]
struct Slot {
    connections: Vec<Pooled>,
    /// The dial others wait for; without a sender when whoever dialled gave up.
    dialling: Option<watch::Receiver<Option<ConnectError>>>,
}

#[derive(Clone)]
struct Pooled {
    asker: Asker,
    peer: Identity,
    usage: Arc<Usage>,
}

impl Pooled {
    /// Whether it is neither retired nor has its peer said goodbye.
    fn takes_tunnels(&self) -> bool {
        self.asker.takes_streams() && !self.usage.is_retired()
    }
}

/// A tunnel's place in a connection.
pub(crate) struct Lease {
    usage: Arc<Usage>,
}

impl Lease {
    fn new(usage: &Arc<Usage>) -> Self {
        usage.begin();
        Lease { usage: Arc::clone(usage) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.usage.end();
    }
}

/// What a request for a connection finds.
enum Found {
    Room(Pooled, Lease),
    Dialling(watch::Receiver<Option<ConnectError>>),
    Nothing(watch::Sender<Option<ConnectError>>),
}

impl Pool {
    /// An empty pool.
    pub fn new(settings: Settings) -> Self {
        Pool { shared: Arc::new(Shared { slots: Mutex::default(), settings }) }
    }

    /// Opens a tunnel over a connection of this key, dialling one if there is none with room.
    pub async fn connect<D, F, IO>(
        &self,
        key: &PoolKey,
        dial: D,
        request: &ConnectRequest,
    ) -> Result<(TunnelStream, ResponseInfo), ConnectError>
    where
        D: Fn() -> F,
        F: Future<Output = Result<TlsStream<IO>, DialError>>,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut dials = 0;
        loop {
            let (connection, lease, fresh) = self.check_out(key, &dial).await?;
            dials += usize::from(fresh);
            let failure = match connection.asker.request(request, &self.shared.settings).await {
                Ok((stream, answer)) => {
                    let info = client::read_answer(&connection.peer, &answer);
                    return Ok((TunnelStream::new(stream, Place::Pooled(lease)), info));
                }
                Err(failure) => failure,
            };
            let again = match failure {
                // A connection kept open may have ended as the request was on its way. Each
                // that has is out of the pool then, so this comes to an end.
                Failure::Untouched(_) | Failure::Broken(_) if !fresh => true,
                Failure::Untouched(_) => dials < DIALS,
                Failure::Broken(_) | Failure::Final(_) => false,
            };
            if !matches!(failure, Failure::Final(_)) {
                connection.usage.retire();
                self.shared.sweep(key);
            }
            if !again {
                return Err(failure.into_error());
            }
        }
    }

    /// Open connections, over all keys.
    pub fn connections(&self) -> usize {
        self.shared.lock().values().map(|slot| slot.connections.len()).sum()
    }

    /// A connection with room, and whether it is a new one.
    async fn check_out<D, F, IO>(
        &self,
        key: &PoolKey,
        dial: &D,
    ) -> Result<(Pooled, Lease, bool), ConnectError>
    where
        D: Fn() -> F,
        F: Future<Output = Result<TlsStream<IO>, DialError>>,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        loop {
            match self.shared.find(key) {
                Found::Room(connection, lease) => return Ok((connection, lease, false)),
                Found::Dialling(mut dialling) => {
                    // An error reaches all who waited for this dial; closed without
                    // one means that there is a connection, or that it was given up.
                    if let Ok(error) = dialling.wait_for(Option::is_some).await
                        && let Some(error) = &*error
                    {
                        return Err(error.clone());
                    }
                }
                Found::Nothing(dialled) => {
                    let opened = self.open(key, dial()).await;
                    if let Err(error) = &opened {
                        dialled.send_replace(Some(error.clone()));
                        drop(dialled);
                        self.shared.sweep(key);
                    }
                    let (connection, lease) = opened?;
                    return Ok((connection, lease, true));
                }
            }
        }
    }

    async fn open<IO>(
        &self,
        key: &PoolKey,
        dialled: impl Future<Output = Result<TlsStream<IO>, DialError>>,
    ) -> Result<(Pooled, Lease), ConnectError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let tls = dialled.await?;
        let peer = tls.peer_identity().clone();
        let (asker, driver) = Asker::new(tls.into_secured(), &self.shared.settings);
        let connection = asker.connection();
        let pooled = Pooled { asker, peer, usage: Arc::new(Usage::new()) };
        let lease = Lease::new(&pooled.usage);
        let keeper = Keeper {
            pool: Arc::downgrade(&self.shared),
            key: key.clone(),
            usage: Arc::clone(&pooled.usage),
            settings: self.shared.settings.clone(),
        };
        tokio::spawn(keeper.run(driver, connection));
        self.shared.lock().entry(key.clone()).or_default().connections.push(pooled.clone());
        Ok((pooled, lease))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<PoolKey, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, key: &PoolKey) -> Found {
        let mut slots = self.lock();
        let slot = match slots.get_mut(key) {
            Some(slot) => slot,
            None => slots.entry(key.clone()).or_default(),
        };
        slot.connections.retain(Pooled::takes_tunnels);
        let most = self.settings.pooled_streams;
        let room = |pooled: &&Pooled| pooled.usage.streams() < most.min(pooled.asker.stream_limit());
        if let Some(pooled) = slot.connections.iter().find(room) {
            let lease = Lease::new(&pooled.usage);
            return Found::Room(pooled.clone(), lease);
        }
        match &slot.dialling {
            Some(dialling) if dialling.has_changed().is_ok() => Found::Dialling(dialling.clone()),
            _ => {
                let (dialled, dialling) = watch::channel(None);
                slot.dialling = Some(dialling);
                Found::Nothing(dialled)
            }
        }
    }

    /// Forgets ended connections of the key, and the key itself once nothing is left of it.
    fn sweep(&self, key: &PoolKey) {
        let mut slots = self.lock();
        let Some(slot) = slots.get_mut(key) else { return };
        slot.connections.retain(|pooled| !pooled.usage.is_retired());
        let dialling = slot.dialling.as_ref().is_some_and(|dialling| dialling.has_changed().is_ok());
        if slot.connections.is_empty() && !dialling {
            slots.remove(key);
        }
    }

    /// Retires the connection if it was unused for long enough; else says when to look again.
    fn retire_unused(&self, key: &PoolKey, usage: &Usage) -> Option<Instant> {
        let slots = self.lock();
        let release = self.settings.unused_release;
        let due = if usage.streams() == 0 { usage.idle_since() + release } else { Instant::now() + release };
        if due > Instant::now() {
            return Some(due);
        }
        // Under the lock, so that no tunnel begins on it in between.
        usage.retire();
        drop(slots);
        self.sweep(key);
        None
    }
}

/// Drives one connection of the pool to its end.
struct Keeper {
    pool: Weak<Shared>,
    key: PoolKey,
    usage: Arc<Usage>,
    settings: Settings,
}

impl Keeper {
    async fn run<IO>(self, driver: Driver<Carrier<IO>>, connection: Arc<Connection>)
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        tokio::select! {
            () = client::drive(driver, &connection, &self.settings, self.key.destination) => {}
            () = self.release_unused() => {}
        }
        self.usage.retire();
        if let Some(pool) = self.pool.upgrade() {
            pool.sweep(&self.key);
        }
    }

    /// Takes the connection out of the pool when it was unused for long enough.
    /// Does not return: with its last handle gone the connection says goodbye and ends.
    async fn release_unused(&self) {
        let mut due = Instant::now() + self.settings.unused_release;
        loop {
            sleep_until(due).await;
            match self.pool.upgrade().and_then(|pool| pool.retire_unused(&self.key, &self.usage)) {
                Some(later) => due = later,
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests;
