//! A proxy's requests while resources change, three bytes a step: it holds everything it
//! wants as it is now, and nothing that is gone.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use mesh_proto::discovery::DeltaDiscoveryRequest;
use mesh_xds::fuzzing::{Sent, Stream, publisher};
use mesh_xds::{Change, Entry, Publisher, version_of};

const TYPE: &str = "type.test/fruit";
/// The first can be subscribed to only; a bit each says which are meant.
const NAMES: [&str; 8] = ["*", "a", "b", "c", "d", "e", "f", "g"];
/// Short, so that streams fall behind it.
const LOG: usize = 4;

fuzz_target!(|data: &[u8]| {
    let Some(([subscribe, unsubscribe, known], steps)) = data.split_first_chunk::<3>() else { return };
    let publisher = publisher(LOG);
    let mut published = BTreeMap::new();
    let mut request = request(*subscribe, *unsubscribe);
    request.initial_resource_versions = names(known & 0xfe).map(|name| (name, "old".to_owned())).collect();
    let (mut stream, sent) = Stream::open(&publisher, &request);
    let mut proxy = Proxy::open(&request);
    proxy.receive(sent);
    for step in steps.chunks_exact(3) {
        let &[what, first, second] = step else { return };
        match what % 3 {
            0 => publish(&publisher, &mut published, first, second),
            1 => remove(&publisher, &mut published, first),
            _ => {
                let request = self::request(first, second);
                proxy.ask(&request, &published);
                proxy.receive(stream.take(&publisher, &request));
                proxy.check(&published);
            }
        }
    }
    proxy.receive(stream.take(&publisher, &self::request(0, 0)));
    proxy.check(&published);
});

fn names(bits: u8) -> impl Iterator<Item = String> {
    let set = NAMES.iter().enumerate().filter(move |(place, _)| bits >> place & 1 == 1);
    set.map(|(_, name)| (*name).to_owned())
}

fn request(subscribe: u8, unsubscribe: u8) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: TYPE.to_owned(),
        resource_names_subscribe: names(subscribe).collect(),
        resource_names_unsubscribe: names(unsubscribe).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

/// Names of entries are the first four; the others are what they are called besides.
fn publish(publisher: &Publisher, published: &mut BTreeMap<String, Entry>, which: u8, others: u8) {
    let name = NAMES[1 + usize::from(which % 4)];
    let mut entry = Entry::new(name, &());
    entry.bytes = vec![which >> 2 & 1];
    entry.version = version_of(&entry.bytes).into();
    entry.aliases = names(others & 0x60).map(Arc::from).collect();
    entry.belongs_to = names(others & 0x80).map(Arc::from).collect();
    published.insert(name.to_owned(), entry.clone());
    publisher.publish(TYPE, vec![Change::Upsert(entry)]);
}

fn remove(publisher: &Publisher, published: &mut BTreeMap<String, Entry>, which: u8) {
    let name = NAMES[1 + usize::from(which % 4)];
    published.remove(name);
    publisher.publish(TYPE, vec![Change::Remove(name.into())]);
}

/// What a proxy wants and has, by the rules of the protocol.
struct Proxy {
    wildcard: bool,
    wanted: BTreeSet<String>,
    held: BTreeMap<String, String>,
}

impl Proxy {
    fn open(request: &DeltaDiscoveryRequest) -> Proxy {
        let star = |names: &[String]| names.iter().any(|name| name == "*");
        let (subscribe, unsubscribe) =
            (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
        let wildcard = (subscribe.is_empty() || star(subscribe)) && !star(unsubscribe);
        let mut held = request.initial_resource_versions.clone();
        if !wildcard {
            held.retain(|name, _| !unsubscribe.contains(name));
        }
        let mut wanted: BTreeSet<String> = subscribe.iter().cloned().collect();
        if !wildcard {
            wanted.extend(held.keys().cloned());
        }
        wanted.retain(|name| name != "*" && !unsubscribe.contains(name));
        Proxy { wildcard, wanted, held }
    }

    /// What is given up is forgotten, unless it is wanted by another name.
    fn ask(&mut self, request: &DeltaDiscoveryRequest, published: &BTreeMap<String, Entry>) {
        for name in &request.resource_names_subscribe {
            self.wildcard |= name == "*";
            self.wanted.insert(name.clone());
        }
        let everything = self.wildcard;
        for name in &request.resource_names_unsubscribe {
            self.wildcard &= name != "*";
            self.wanted.remove(name);
        }
        self.wanted.remove("*");
        if !self.wildcard {
            let given_up = |name: &String| everything || request.resource_names_unsubscribe.contains(name);
            let mut held = std::mem::take(&mut self.held);
            held.retain(|name, _| {
                !given_up(name) || published.get(name).is_some_and(|entry| self.wants(entry))
            });
            self.held = held;
        }
    }

    fn wants(&self, entry: &Entry) -> bool {
        let mut others = entry.aliases.iter().chain(&entry.belongs_to);
        self.wildcard
            || self.wanted.contains(&*entry.name)
            || others.any(|other| self.wanted.contains(&**other))
    }

    fn receive(&mut self, (sent, removed): Sent) {
        for name in &removed {
            assert!(!sent.iter().any(|entry| *entry.name == **name), "{name} is sent and removed at once");
            self.held.remove(name);
        }
        for entry in sent {
            self.held.insert(entry.name.to_string(), entry.version.to_string());
        }
    }

    fn check(&self, published: &BTreeMap<String, Entry>) {
        for (name, entry) in published {
            if self.wants(entry) {
                assert_eq!(self.held.get(name).map(String::as_str), Some(&*entry.version), "{name}");
            }
        }
        for name in self.held.keys() {
            let known = published.contains_key(name) || !(self.wildcard || self.wanted.contains(name));
            assert!(known, "{name} is gone and still held");
        }
    }
}
