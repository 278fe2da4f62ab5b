//! Whatever is asked for and changed, in whatever order: a proxy holds what it wants, as it
//! is now, and nothing that is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::super::publisher::{Change, Publisher};
use super::*;

const TYPE: &str = "type.test/fruit";
/// Entries; the last two are services, so to say.
const ENTRIES: [&str; 4] = ["pod-1", "pod-2", "svc-1", "svc-2"];
/// What entries can be called besides.
const ALIASES: [&str; 3] = ["net/1", "net/2", "net/3"];
const STEPS: usize = 60;

struct Everything;

impl View for Everything {
    fn sees(&self, _: &str, _: &Entry) -> bool {
        true
    }
}

/// Small numbers without end, the same for the same seed (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn some<'a>(&mut self, from: &[&'a str]) -> Vec<&'a str> {
        from.iter().copied().filter(|_| self.roll(3) == 0).collect()
    }
}

/// What a proxy wants and has, by the rules of the protocol.
#[derive(Default)]
struct Proxy {
    wanted: BTreeSet<String>,
    held: BTreeMap<String, Arc<str>>,
}

impl Proxy {
    fn names(&self, entry: &Entry) -> bool {
        self.wanted.contains(&*entry.name) || entry.other_names().any(|name| self.wanted.contains(&**name))
    }

    fn wants(&self, published: &BTreeMap<&str, Entry>, entry: &Entry) -> bool {
        let heads = entry.belongs_to.iter().filter_map(|name| published.get(&**name));
        self.names(entry) || heads.into_iter().any(|head| self.names(head))
    }

    /// What is given up is forgotten, unless it is wanted by another name.
    fn ask(&mut self, request: &DeltaDiscoveryRequest, published: &BTreeMap<&str, Entry>) {
        self.wanted.extend(request.resource_names_subscribe.iter().cloned());
        for name in &request.resource_names_unsubscribe {
            self.wanted.remove(name);
        }
        for name in &request.resource_names_unsubscribe {
            if !published.get(&**name).is_some_and(|entry| self.wants(published, entry)) {
                self.held.remove(name);
            }
        }
    }

    fn receive(&mut self, delta: Delta) {
        for name in &delta.removed {
            assert!(
                !delta.send.iter().any(|entry| *entry.name == **name),
                "{name}: sent and removed at once"
            );
            self.held.remove(name);
        }
        for entry in delta.send {
            self.held.insert(entry.name.to_string(), entry.version.clone());
        }
    }

    fn check(&self, published: &BTreeMap<&str, Entry>, seed: u64) {
        for (name, entry) in published {
            if self.wants(published, entry) {
                assert_eq!(
                    self.held.get(*name),
                    Some(&entry.version),
                    "seed {seed}: {name}, {:?}",
                    self.wanted
                );
            }
        }
        for name in self.held.keys() {
            assert!(published.contains_key(&**name), "seed {seed}: {name} is gone and still held");
        }
    }
}

fn entry(dice: &mut Dice, name: &'static str) -> Entry {
    let mut entry = Entry::new(name, &());
    entry.version = dice.roll(3).to_string().into();
    if name.starts_with("svc") {
        entry.aliases = dice.some(&ALIASES).into_iter().map(Arc::from).collect();
    } else {
        entry.belongs_to = dice.some(&["svc-1", "svc-2"]).into_iter().map(Arc::from).collect();
    }
    entry
}

fn request(subscribe: Vec<&str>, unsubscribe: Vec<&str>) -> DeltaDiscoveryRequest {
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    DeltaDiscoveryRequest {
        type_url: TYPE.to_owned(),
        resource_names_subscribe: owned(subscribe),
        resource_names_unsubscribe: owned(unsubscribe),
        ..DeltaDiscoveryRequest::default()
    }
}

fn play(seed: u64) {
    let mut dice = Dice(seed);
    // The log is short, so that the stream falls behind it now and then.
    let publisher = Publisher::with(4, false);
    let catalog = publisher.subscribe();
    let mut published = BTreeMap::new();
    let opening = request(vec!["*"], vec!["*"]);
    let snapshot = catalog.borrow().snapshot(TYPE);
    let (mut interest, delta) = Interest::open(&opening, Arc::new(Everything), snapshot);
    let mut proxy = Proxy::default();
    proxy.receive(delta);
    for _ in 0..STEPS {
        let name = ENTRIES[dice.roll(4) as usize];
        match dice.roll(4) {
            0 => {
                let entry = entry(&mut dice, name);
                published.insert(name, entry.clone());
                publisher.publish(TYPE, vec![Change::Upsert(entry)]);
            }
            1 => {
                published.remove(name);
                publisher.publish(TYPE, vec![Change::Remove(name.into())]);
            }
            turn => {
                let all: Vec<_> = ENTRIES.iter().chain(&ALIASES).copied().collect();
                let asked = if turn == 2 { dice.some(&all) } else { Vec::new() };
                let given_up = dice.some(&all).into_iter().filter(|name| !asked.contains(name)).collect();
                let request = request(asked, given_up);
                let (current, changed) = {
                    let catalog = catalog.borrow();
                    (catalog.snapshot(TYPE), catalog.changed_since(TYPE, interest.revision()))
                };
                let mut delta = interest.advance(current, changed);
                proxy.ask(&request, &published);
                interest.resubscribe(&request, &mut delta);
                proxy.receive(delta);
                proxy.check(&published, seed);
            }
        }
    }
}

#[test]
fn ad_14_a_proxy_holds_what_it_wants_with_its_members_and_nothing_that_is_gone() {
    for seed in 1..1_000 {
        play(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
    }
}
