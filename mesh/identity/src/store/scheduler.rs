//! The task that asks the CA: which identity is next, and what an answer means.

use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mesh_model::Identity;
use tokio::sync::{Notify, watch};

use super::{Entry, Next, Priority, RequestError, Shared, State, StoreSettings};
use crate::ca::CertificateAuthority;
use crate::certificate::Certificate;
use crate::key::KeyRequest;
use crate::provider::Profile;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(150);
const BACKOFF_SPREAD: RangeInclusive<f64> = 0.8..=1.2;
/// Renewal comes up to a tenth early, so that certificates signed together are not renewed together.
const RENEWAL_SPREAD: RangeInclusive<f64> = 0.9..=1.0;
/// Clocks can be set; nothing is slept away for longer.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// One request to the CA.
struct Job {
    identity: Identity,
    generation: u64,
    state: watch::Receiver<State>,
}

/// How it went; `None` when the identity was forgotten meanwhile.
struct Outcome {
    identity: Identity,
    generation: u64,
    result: Option<Result<Certificate, RequestError>>,
}

pub(super) async fn run(
    shared: Weak<Shared>,
    wake: Arc<Notify>,
    authority: Arc<dyn CertificateAuthority>,
    settings: StoreSettings,
) {
    let mut running = FuturesUnordered::new();
    loop {
        let Some(strong) = shared.upgrade() else { return };
        while running.len() < settings.parallel {
            let Some(job) = strong.take_due() else { break };
            running.push(perform(&*authority, job, settings.profile));
        }
        // With every place taken only an answer can change anything.
        let sleep = if running.len() < settings.parallel { strong.time_to_next() } else { LONGEST_SLEEP };
        drop(strong);
        tokio::select! {
            Some(outcome) = running.next() => {
                if let Some(strong) = shared.upgrade() {
                    strong.record(outcome);
                }
            }
            () = wake.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

async fn perform(authority: &dyn CertificateAuthority, job: Job, profile: Profile) -> Outcome {
    let Job { identity, generation, mut state } = job;
    let forgotten = async { while state.changed().await.is_ok() {} };
    let result = tokio::select! {
        result = request(authority, &identity, profile) => Some(result),
        () = forgotten => None,
    };
    Outcome { identity, generation, result }
}

async fn request(
    authority: &dyn CertificateAuthority,
    identity: &Identity,
    profile: Profile,
) -> Result<Certificate, RequestError> {
    let request = KeyRequest::generate(identity)?;
    let chain = authority.sign(identity, request.csr_pem()).await?;
    Ok(Certificate::from_chain(identity, &chain, request, profile)?)
}

impl Shared {
    /// Marks the most urgent due request as running and hands it out.
    fn take_due(&self) -> Option<Job> {
        let now = (self.clock)();
        let mut entries = self.lock();
        let (identity, entry) = entries
            .by_identity
            .iter_mut()
            .filter_map(|(identity, entry)| Some((entry.urgency(now)?, identity, entry)))
            .min_by_key(|(urgency, ..)| *urgency)
            .map(|(_, identity, entry)| (identity, entry))?;
        entry.next = Next::Running;
        Some(Job { identity: identity.clone(), generation: entry.generation, state: entry.state.subscribe() })
    }

    fn time_to_next(&self) -> Duration {
        let now = (self.clock)();
        let entries = self.lock();
        let times = entries.by_identity.values().map(|entry| match entry.next {
            Next::Queued(..) => Duration::ZERO,
            Next::Running => LONGEST_SLEEP,
            Next::At(time) => time.duration_since(now).unwrap_or(Duration::ZERO),
        });
        times.min().unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }

    fn record(&self, outcome: Outcome) {
        let Outcome { identity, generation, result } = outcome;
        let Some(result) = result else { return };
        let now = (self.clock)();
        let mut entries = self.lock();
        let Some(entry) = entries.by_identity.get_mut(&identity) else { return };
        if entry.generation != generation {
            return;
        }
        match result {
            Ok(certificate) if certificate.not_after() <= now => {
                entry.failed(&identity, &RequestError::Expired, now);
            }
            Ok(certificate) => entry.succeeded(certificate, now),
            Err(error) => entry.failed(&identity, &error, now),
        }
    }
}

impl Entry {
    fn urgency(&self, now: SystemTime) -> Option<(Priority, Duration, u64)> {
        match self.next {
            Next::Queued(priority, since) => Some((priority, Duration::ZERO, since)),
            Next::At(time) if time <= now => {
                let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Some((Priority::Background, since_epoch, 0))
            }
            Next::At(_) | Next::Running => None,
        }
    }

    fn succeeded(&mut self, certificate: Certificate, now: SystemTime) {
        let delay = certificate.renewal_time(now).duration_since(now).unwrap_or(Duration::ZERO);
        self.next = Next::At(now + delay.mul_f64(rand::random_range(RENEWAL_SPREAD)));
        self.backoff = Duration::ZERO;
        self.state.send_replace(State::Available(Arc::new(certificate)));
    }

    /// Spread, since all proxies of a cluster notice at once.
    pub(super) fn retry_soon(&mut self, now: SystemTime) {
        if let Next::At(time) = self.next
            && self.backoff > Duration::ZERO
        {
            self.next = Next::At(time.min(now + FIRST_BACKOFF.mul_f64(rand::random_range(0.0..=1.0))));
        }
    }

    fn failed(&mut self, identity: &Identity, error: &RequestError, now: SystemTime) {
        self.backoff = (self.backoff * 2).clamp(FIRST_BACKOFF, LONGEST_BACKOFF);
        let delay = self.backoff.mul_f64(rand::random_range(BACKOFF_SPREAD)).min(LONGEST_BACKOFF);
        let valid = self.valid(now);
        // Past its end the certificate is worth nothing, so the last try is due right then.
        let end = valid.as_ref().map_or(now + delay, |certificate| certificate.not_after());
        self.next = Next::At((now + delay).min(end));
        tracing::warn!(%identity, retry_in_ms = delay.as_millis(), "cannot get a certificate: {error}");
        if valid.is_none() {
            self.state.send_replace(State::Unavailable(error.to_string()));
        }
    }
}
