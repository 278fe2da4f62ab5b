//! Host names of endpoints, looked up by the pod's own resolver when somebody connects (DNS-25): one lookup of a name
//! at a time, whose answer is kept for a while. Answers are the process's, not a worker's.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

/// The resolver does not say how long an answer holds.
const KEPT: Duration = Duration::from_secs(5);
/// A name that cannot be looked up is not asked for at once again.
const FAILURE_KEPT: Duration = Duration::from_secs(1);
/// Nobody waits longer; the lookup itself goes on.
const PATIENCE: Duration = Duration::from_secs(5);
/// More names than services have; past it, those nobody asks for are forgotten.
const MOST_KNOWN: usize = 10_000;
/// Lookups of names that clients choose, at the same time: resolvers have to serve others too.
const MOST_CHOSEN: usize = 256;

type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// What is known of names.
pub(crate) struct Names {
    ask: Box<dyn Fn(Arc<str>) -> Answer + Send + Sync>,
    known: Mutex<HashMap<Arc<str>, Known>>,
    chosen: Arc<Semaphore>,
}

struct Known {
    /// The last ones: where a lookup fails, they go on.
    addresses: Vec<IpAddr>,
    until: Instant,
    /// Closed when the lookup has ended.
    under_way: Option<watch::Receiver<()>>,
}

impl Names {
    /// As the pod looks names up.
    pub(crate) fn system() -> Arc<Names> {
        Names::asking(|host| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((&*host, 0)).await?;
                Ok(found.map(|address| address.ip().to_canonical()).collect())
            })
        })
    }

    /// By whoever answers.
    pub(crate) fn asking(ask: impl Fn(Arc<str>) -> Answer + Send + Sync + 'static) -> Arc<Names> {
        let chosen = Arc::new(Semaphore::new(MOST_CHOSEN));
        Arc::new(Names { ask: Box::new(ask), known: Mutex::default(), chosen })
    }

    /// The addresses of a host, none if it has none. Waits for a lookup, but not for ever.
    pub(crate) async fn fetch(self: &Arc<Self>, host: &Arc<str>) -> Vec<IpAddr> {
        self.fetch_by(host, Origin::Mesh).await
    }

    /// The addresses of a host whose name a client chose: with a dot at its end, so that it is looked up as it is
    /// and not in the domains of the pod's search list. None as well while too many such names are asked for.
    pub(crate) async fn fetch_chosen(self: &Arc<Self>, host: &str) -> Vec<IpAddr> {
        self.fetch_by(&format!("{host}.").into(), Origin::Client).await
    }

    async fn fetch_by(self: &Arc<Self>, host: &Arc<str>, origin: Origin) -> Vec<IpAddr> {
        let mut under_way = {
            let mut known = self.lock();
            if known.len() >= MOST_KNOWN && !known.contains_key(host) {
                known.retain(|_, name| name.until > Instant::now());
                if known.len() >= MOST_KNOWN && origin == Origin::Client {
                    return Vec::new();
                }
            }
            let name = known.entry(host.clone()).or_insert_with(Known::nothing);
            if name.until > Instant::now() {
                return name.addresses.clone();
            }
            match name.under_way.as_ref().filter(|lookup| lookup.has_changed().is_ok()) {
                Some(lookup) => lookup.clone(),
                None => {
                    let place = match origin {
                        Origin::Mesh => None,
                        // The last addresses go on, if there are any.
                        Origin::Client => match self.chosen.clone().try_acquire_owned() {
                            Ok(place) => Some(place),
                            Err(_) => return name.addresses.clone(),
                        },
                    };
                    let (ends, lookup) = watch::channel(());
                    name.under_way = Some(lookup.clone());
                    tokio::spawn(self.clone().look_up(host.clone(), place, ends));
                    lookup
                }
            }
        };
        // An error says that the lookup has ended, which is what is waited for.
        let _ = timeout(PATIENCE, under_way.changed()).await;
        self.lock().get(host).map(|name| name.addresses.clone()).unwrap_or_default()
    }

    async fn look_up(
        self: Arc<Self>,
        host: Arc<str>,
        place: Option<OwnedSemaphorePermit>,
        _ends: watch::Sender<()>,
    ) {
        let answer = (self.ask)(host.clone()).await;
        let mut known = self.lock();
        let name = known.entry(host.clone()).or_insert_with(Known::nothing);
        match answer {
            Ok(addresses) if !addresses.is_empty() => {
                *name = Known { addresses, until: Instant::now() + KEPT, under_way: None };
            }
            failed => {
                let reason =
                    failed.map_or_else(|error| error.to_string(), |_| "it has no address".to_owned());
                let before = !name.addresses.is_empty();
                match place {
                    None => {
                        tracing::warn!(%host, reason, before, "the name of an endpoint cannot be looked up")
                    }
                    // Clients must not fill the log.
                    Some(_) => tracing::debug!(%host, reason, before, "a client's host cannot be looked up"),
                }
                name.until = Instant::now() + FAILURE_KEPT;
                name.under_way = None;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Known>> {
        // Every change under the lock leaves the map whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has chosen a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// An object of the mesh: it is an endpoint's.
    Mesh,
    Client,
}

impl Known {
    fn nothing() -> Known {
        Known { addresses: Vec::new(), until: Instant::now(), under_way: None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Answers as told, and counts.
    fn scripted(
        answer: impl Fn(usize) -> Option<io::Result<Vec<IpAddr>>> + Send + Sync + 'static,
    ) -> (Arc<Names>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let names = Names::asking(move |_| match answer(count.fetch_add(1, Ordering::Relaxed)) {
            Some(answer) => Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                answer
            }),
            None => Box::pin(std::future::pending()),
        });
        (names, asked)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[tokio::test(start_paused = true)]
    async fn dns_25_one_lookup_for_all_who_ask_and_for_a_while() {
        let (names, asked) = scripted(|before| Some(Ok(vec![address(before as u8)])));
        let host: Arc<str> = "api.example.com".into();
        let (one, other) = tokio::join!(names.fetch(&host), names.fetch(&host));
        assert_eq!((one, other), (vec![address(0)], vec![address(0)]));
        assert_eq!(names.fetch(&host).await, [address(0)]);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(KEPT).await;
        assert_eq!(names.fetch(&host).await, [address(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn eg_23_a_name_that_is_not_there_is_not_asked_for_all_the_time() {
        let (names, asked) = scripted(|before| match before {
            0 => Some(Err(io::Error::other("no such name"))),
            _ => Some(Ok(vec![address(1)])),
        });
        let host: Arc<str> = "gone.example.com".into();
        for _ in 0..3 {
            assert!(names.fetch(&host).await.is_empty());
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::advance(FAILURE_KEPT).await;
        assert_eq!(names.fetch(&host).await, [address(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn eg_23_nobody_waits_for_ever() {
        let (names, asked) = scripted(|_| None);
        let host: Arc<str> = "silent.example.com".into();
        let begin = Instant::now();
        assert!(names.fetch(&host).await.is_empty() && names.fetch(&host).await.is_empty());
        assert_eq!(begin.elapsed(), 2 * PATIENCE);
        assert_eq!(asked.load(Ordering::Relaxed), 1, "the lookup goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn eg_15_names_that_clients_choose_leave_room_for_others() {
        let (names, asked) = scripted(|_| None);
        let chosen = (0..MOST_CHOSEN + 10).map(|n| (names.clone(), format!("{n}.example.com")));
        let all = chosen.map(|(names, host)| async move { names.fetch_chosen(&host).await });
        assert!(futures_util::future::join_all(all).await.iter().all(Vec::is_empty));
        assert_eq!(asked.load(Ordering::Relaxed), MOST_CHOSEN);
        names.fetch(&"configured.example.com".into()).await;
        assert_eq!(asked.load(Ordering::Relaxed), MOST_CHOSEN + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_hold_while_name_servers_are_away() {
        let (names, _) = scripted(|before| match before {
            0 => Some(Ok(vec![address(1)])),
            _ => Some(Err(io::Error::other("no name server answered"))),
        });
        let host: Arc<str> = "api.example.com".into();
        assert_eq!(names.fetch(&host).await, [address(1)]);
        tokio::time::advance(KEPT).await;
        assert_eq!(names.fetch(&host).await, [address(1)]);
    }
}
