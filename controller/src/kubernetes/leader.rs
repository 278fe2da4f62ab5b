//! Which replica writes: the one that holds a Lease. The others stand by; all serve.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

/// How long a lease is good for without being renewed.
const LEASE: Duration = Duration::from_secs(15);
/// How long renewing may fail before the holder stops writing; well before others take over.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often the lease is looked at.
const RETRY: Duration = Duration::from_secs(2);
/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Takes part in the election.
pub struct Election {
    leases: Api<Lease>,
    namespace: String,
    lease: String,
    identity: String,
    leads: watch::Sender<bool>,
    observed: Option<Observed>,
}

/// A lease as it was, and since when: clocks of different machines are never compared.
#[derive(Debug)]
struct Observed {
    holder: String,
    renewed: Option<MicroTime>,
    since: Instant,
}

/// What to do about the lease.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Create,
    Renew,
    TakeOver,
    Wait,
}

fn decide(lease: Option<&LeaseSpec>, identity: &str, unchanged_for: Duration) -> Step {
    let Some(lease) = lease else { return Step::Create };
    match lease.holder_identity.as_deref().unwrap_or_default() {
        holder if holder == identity => Step::Renew,
        "" => Step::TakeOver,
        _ => {
            let seconds = lease.lease_duration_seconds.and_then(|it| u64::try_from(it).ok());
            match unchanged_for > seconds.map_or(LEASE, Duration::from_secs) {
                true => Step::TakeOver,
                false => Step::Wait,
            }
        }
    }
}

impl Election {
    /// Stands for the lease of that name under that identity; and whether it is held.
    pub fn new(
        client: Client,
        namespace: &str,
        lease: &str,
        identity: &str,
    ) -> (Self, watch::Receiver<bool>) {
        let (leads, receiver) = watch::channel(false);
        let election = Election {
            leases: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            lease: lease.to_owned(),
            identity: identity.to_owned(),
            leads,
            observed: None,
        };
        (election, receiver)
    }

    /// Takes part until `stop`, then gives the lease back if it is held.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        let mut renewed = Instant::now();
        loop {
            let started = Instant::now();
            let tried = tokio::select! {
                () = &mut stop => break,
                tried = timeout(PATIENCE, self.attempt()) => tried,
            };
            match tried {
                Ok(Ok(held)) => {
                    renewed = started;
                    self.set(held);
                }
                failed => {
                    match failed {
                        Ok(Err(error)) => warn!("cannot renew or read the lease {}: {error}", self.lease),
                        _ => warn!("the API server is slow to answer about the lease {}", self.lease),
                    }
                    // The next look could end after the deadline.
                    if renewed.elapsed() + RETRY + PATIENCE > RENEW_DEADLINE {
                        self.set(false);
                    }
                }
            }
            tokio::select! {
                () = &mut stop => break,
                () = sleep(RETRY) => {}
            }
        }
        let held = *self.leads.borrow();
        self.set(false);
        if held && let Err(error) = timeout(PATIENCE, self.release()).await.unwrap_or(Ok(())) {
            debug!("cannot give back the lease {}: {error}", self.lease);
        }
    }

    fn set(&self, leads: bool) {
        let changed = self.leads.send_if_modified(|held| std::mem::replace(held, leads) != leads);
        match (changed, leads) {
            (true, true) => info!("this replica leads: it writes statuses and deploys waypoints"),
            (true, false) => info!("this replica does not lead any more"),
            _ => {}
        }
    }

    /// One look at the lease; whether it is held now.
    async fn attempt(&mut self) -> kube::Result<bool> {
        let lease = self.leases.get_opt(&self.lease).await?;
        let spec = lease.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
        let unchanged_for = self.observe(spec.as_ref());
        let written = match decide(spec.as_ref(), &self.identity, unchanged_for) {
            Step::Wait => return Ok(false),
            Step::Create => {
                let lease = self.lease(
                    ObjectMeta {
                        name: Some(self.lease.clone()),
                        namespace: Some(self.namespace.clone()),
                        ..ObjectMeta::default()
                    },
                    None,
                );
                self.leases.create(&PostParams::default(), &lease).await
            }
            Step::Renew | Step::TakeOver => {
                let metadata = lease.map(|lease| lease.metadata).unwrap_or_default();
                let lease = self.lease(metadata, spec);
                self.leases.replace(&self.lease, &PostParams::default(), &lease).await
            }
        };
        match written {
            Ok(_) => Ok(true),
            // Somebody else was faster; what they wrote decides next time.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// For how long the lease has been as it is.
    fn observe(&mut self, lease: Option<&LeaseSpec>) -> Duration {
        let holder = lease.and_then(|it| it.holder_identity.clone()).unwrap_or_default();
        let renewed = lease.and_then(|it| it.renew_time.clone());
        match &self.observed {
            Some(seen) if seen.holder == holder && seen.renewed == renewed => seen.since.elapsed(),
            _ => {
                self.observed = Some(Observed { holder, renewed, since: Instant::now() });
                Duration::ZERO
            }
        }
    }

    /// The lease, held by this replica.
    fn lease(&self, metadata: ObjectMeta, before: Option<LeaseSpec>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let before = before.unwrap_or_default();
        let keeps = before.holder_identity.as_deref() == Some(&self.identity);
        let transitions = before.lease_transitions.unwrap_or(0);
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: before.acquire_time.filter(|_| keeps).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if keeps { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }

    async fn release(&self) -> kube::Result<()> {
        let Some(mut lease) = self.leases.get_opt(&self.lease).await? else { return Ok(()) };
        let Some(spec) = lease.spec.as_mut() else { return Ok(()) };
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return Ok(());
        }
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        self.leases.replace(&self.lease, &PostParams::default(), &lease).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_taken_when_it_is_free_or_forgotten() {
        let (short, long) = (Duration::from_secs(3), Duration::from_secs(16));
        let cases = [
            (None, short, Step::Create),
            (Some(held_by("me")), long, Step::Renew),
            (Some(held_by("")), short, Step::TakeOver),
            (Some(held_by("other")), short, Step::Wait),
            (Some(held_by("other")), Duration::from_secs(15), Step::Wait),
            (Some(held_by("other")), long, Step::TakeOver),
        ];
        for (lease, unchanged_for, step) in cases {
            assert_eq!(decide(lease.as_ref(), "me", unchanged_for), step, "{lease:?} {unchanged_for:?}");
        }
    }
}
