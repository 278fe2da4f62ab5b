//! Tests of `store`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance, sleep, timeout};
use tonic::Status;

use super::*;
use crate::authority::Authority;
use crate::testing::{authority, workload};

const LIFETIME: i64 = 36_000;

/// A CA that counts, waits for permission, and fails on demand.
struct FakeCa {
    authority: Authority,
    gate: Semaphore,
    failing: AtomicBool,
    running: AtomicUsize,
    most_running: AtomicUsize,
    calls: Mutex<Vec<(Identity, Instant)>>,
}

impl FakeCa {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(FakeCa {
            authority: authority(),
            gate: Semaphore::new(permits),
            failing: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            calls: Mutex::default(),
        })
    }

    fn calls(&self) -> Vec<(Identity, Instant)> {
        self.calls.lock().unwrap().clone()
    }
}

impl CertificateAuthority for FakeCa {
    fn sign<'a>(
        &'a self,
        identity: &'a Identity,
        csr_pem: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, CaError>> {
        async move {
            self.calls.lock().unwrap().push((identity.clone(), Instant::now()));
            let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_running.fetch_max(running, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
            self.running.fetch_sub(1, Ordering::SeqCst);
            if self.failing.load(Ordering::SeqCst) {
                return Err(CaError::Refused(Status::unavailable("switched off")));
            }
            Ok(self.authority.sign(csr_pem, identity, LIFETIME).unwrap())
        }
        .boxed()
    }
}

/// A clock that moves with tokio's.
fn settings(parallel: usize) -> StoreSettings {
    let (wall, start) = (SystemTime::now(), Instant::now());
    StoreSettings { parallel, clock: Arc::new(move || wall + start.elapsed()), ..StoreSettings::default() }
}

fn store(ca: &Arc<FakeCa>, parallel: usize) -> Store {
    Store::new(Arc::clone(ca) as Arc<dyn CertificateAuthority>, settings(parallel))
}

/// Lets every other task run until it waits.
async fn settle() {
    sleep(Duration::from_nanos(1)).await;
}

#[tokio::test(start_paused = true)]
async fn id_09_many_requests_for_one_identity_are_one_call() {
    let ca = FakeCa::new(usize::MAX >> 4);
    let store = store(&ca, 8);
    let tasks = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..100 {
                let identity = workload(&format!("w{n}"));
                assert_eq!(*store.fetch(&identity).await.unwrap().identity(), identity);
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    assert_eq!(ca.calls().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn id_09_calls_run_in_parallel_up_to_the_limit() {
    let ca = FakeCa::new(0);
    let store = store(&ca, 8);
    (0..20).for_each(|n| store.warm(&workload(&format!("w{n}"))));
    settle().await;
    assert_eq!(ca.running.load(Ordering::SeqCst), 8);
    ca.gate.add_permits(100);
    settle().await;
    assert_eq!(ca.calls().len(), 20);
    assert_eq!(ca.most_running.load(Ordering::SeqCst), 8);
    assert!((0..20).all(|n| store.find(&workload(&format!("w{n}"))).is_some()));
}

#[tokio::test(start_paused = true)]
async fn id_08_a_waiting_connection_overtakes_those_that_may_come() {
    let ca = FakeCa::new(0);
    let store = store(&ca, 1);
    for name in ["running", "first", "second", "third"] {
        store.warm(&workload(name));
    }
    settle().await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.fetch(&workload("third")).await }
    });
    settle().await;
    ca.gate.add_permits(100);
    waiting.await.unwrap().unwrap();
    settle().await;
    let order: Vec<_> = ca.calls().into_iter().map(|(identity, _)| identity.service_account).collect();
    assert_eq!(order.iter().map(|name| &**name).collect::<Vec<_>>(), ["running", "third", "first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn id_06_renewal_comes_at_half_of_the_lifetime() {
    let ca = FakeCa::new(100);
    let store = store(&ca, 8);
    let first = store.fetch(&workload("web")).await.unwrap();
    sleep(Duration::from_secs(LIFETIME as u64 / 2)).await;
    let calls = ca.calls();
    let waited = calls[1].1.duration_since(calls[0].1).as_secs_f64();
    let half = LIFETIME as f64 / 2.0;
    assert!((0.85 * half..=half).contains(&waited), "renewed after {waited} s of {half}");
    let second = store.find(&workload("web")).unwrap();
    assert_ne!(first.serial_number(), second.serial_number());
}

#[tokio::test(start_paused = true)]
async fn id_07_a_failing_renewal_keeps_the_certificate_until_it_expires() {
    let ca = FakeCa::new(usize::MAX >> 4);
    let store = store(&ca, 8);
    let held = store.fetch(&workload("web")).await.unwrap();
    ca.failing.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(LIFETIME as u64 - 10)).await;
    assert_eq!(store.find(&workload("web")).unwrap().serial_number(), held.serial_number());
    let calls = ca.calls();
    let gaps: Vec<_> = calls.windows(2).skip(1).map(|pair| pair[1].1 - pair[0].1).collect();
    assert!(
        gaps[0] <= Duration::from_millis(1300),
        "the first retry comes after about 1 s, not {:?}",
        gaps[0]
    );
    assert!(gaps.windows(2).take(5).all(|pair| pair[1] > pair[0]), "then later and later: {gaps:?}");
    assert!(gaps.iter().all(|gap| *gap <= Duration::from_millis(150_001)), "up to a bound: {gaps:?}");
    assert!(gaps.len() > 50, "and for ever");

    // It expires: a try right then, and the state says why there is none.
    sleep(Duration::from_secs(11)).await;
    assert!(store.find(&workload("web")).is_none());
    let refused = store.fetch(&workload("web")).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no certificate for spiffe://cluster.local/ns/default/sa/web: \
         the certificate authority did not sign: switched off"
    );
    let [(_, state)] = &store.snapshot()[..] else { panic!("one identity expected") };
    assert!(state.to_string().starts_with("Unavailable: the certificate authority did not sign"), "{state}");
}

#[tokio::test(start_paused = true)]
async fn id_07_success_resets_the_backoff() {
    let ca = FakeCa::new(usize::MAX >> 4);
    let store = store(&ca, 8);
    ca.failing.store(true, Ordering::SeqCst);
    assert!(store.fetch(&workload("web")).await.is_err());
    sleep(Duration::from_secs(1000)).await;
    ca.failing.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(200)).await;
    assert!(store.find(&workload("web")).is_some());
    ca.failing.store(true, Ordering::SeqCst);
    let before = ca.calls().len();
    sleep(Duration::from_secs(LIFETIME as u64)).await;
    let calls = ca.calls();
    assert!(calls[before + 1].1 - calls[before].1 < Duration::from_millis(1300));
}

#[tokio::test(start_paused = true)]
async fn up_11_a_ca_that_is_back_is_asked_soon_and_only_for_what_it_owes() {
    let ca = FakeCa::new(100);
    let store = store(&ca, 8);
    store.fetch(&workload("served")).await.unwrap();
    ca.failing.store(true, Ordering::SeqCst);
    assert!(store.fetch(&workload("owed")).await.is_err());
    // Five minutes of failures: the next try is far away.
    sleep(Duration::from_secs(300)).await;
    ca.failing.store(false, Ordering::SeqCst);
    let (asked, back) = (ca.calls().len(), Instant::now());
    store.retry_soon();
    store.arrival(&workload("owed")).await;
    assert!(back.elapsed() <= Duration::from_secs(1), "{:?}", back.elapsed());
    store.retry_soon();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(ca.calls().len(), asked + 1, "nobody else is owed anything");
}

#[tokio::test(start_paused = true)]
async fn an_arrival_is_waited_for_past_failures() {
    let ca = FakeCa::new(usize::MAX >> 4);
    let store = store(&ca, 8);
    ca.failing.store(true, Ordering::SeqCst);
    let (web, gone) = (workload("web"), workload("gone"));
    let mut arrival = Box::pin(store.arrival(&web));
    assert!(timeout(Duration::from_secs(20), &mut arrival).await.is_err(), "there is none yet");
    ca.failing.store(false, Ordering::SeqCst);
    arrival.await;
    assert!(store.find(&web).is_some());
    store.arrival(&web).await;
    ca.failing.store(true, Ordering::SeqCst);
    let mut never = Box::pin(store.arrival(&gone));
    assert!(timeout(Duration::from_secs(20), &mut never).await.is_err());
    store.forget(&gone);
    never.await;
}

#[tokio::test(start_paused = true)]
async fn id_10_who_waits_for_a_forgotten_identity_is_told() {
    let ca = FakeCa::new(0);
    let store = store(&ca, 8);
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.fetch(&workload("web")).await }
    });
    settle().await;
    store.forget(&workload("web"));
    assert_eq!(waiting.await.unwrap().unwrap_err(), IdentityError::Forgotten(workload("web")));
    settle().await;
    ca.gate.add_permits(10);
    settle().await;
    assert!(store.snapshot().is_empty(), "nothing is kept of it");
    // Who comes back is served, by a call of its own.
    store.fetch(&workload("web")).await.unwrap();
    assert_eq!(ca.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn id_13_states_are_shown() {
    let ca = FakeCa::new(0);
    let store = store(&ca, 8);
    let shown = |store: &Store| {
        let rows = store.snapshot().into_iter().map(|(id, state)| format!("{} {state}", id.service_account));
        rows.collect::<Vec<_>>()
    };
    store.warm(&workload("a"));
    store.warm(&workload("b"));
    settle().await;
    assert_eq!(shown(&store), ["a Initializing", "b Initializing"]);
    ca.gate.add_permits(1);
    settle().await;
    let states = shown(&store);
    assert_eq!(states.iter().filter(|row| row.ends_with("Available")).count(), 1, "{states:?}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_answer_is_a_failure_not_a_loop() {
    let ca = FakeCa::new(usize::MAX >> 4);
    let ahead = SystemTime::now() + Duration::from_secs(2 * LIFETIME as u64);
    let settings = StoreSettings { clock: Arc::new(move || ahead), ..StoreSettings::default() };
    let store = Store::new(Arc::clone(&ca) as Arc<dyn CertificateAuthority>, settings);
    let refused = store.fetch(&workload("web")).await.unwrap_err();
    assert!(refused.to_string().contains("already expired; check the clocks"), "{refused}");
    assert_eq!(ca.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_store() {
    let ca = FakeCa::new(0);
    let store = store(&ca, 8);
    store.warm(&workload("web"));
    settle().await;
    assert!(Arc::strong_count(&ca) > 1);
    drop(store);
    settle().await;
    advance(Duration::from_secs(60)).await;
    settle().await;
    assert_eq!(Arc::strong_count(&ca), 1);
}
