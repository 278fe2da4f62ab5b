//! Whatever the order of changes, a snapshot says what a look through all
//! workloads, services and policies would.

use std::collections::{BTreeMap, BTreeSet};

use mesh_model::{NetworkCidr, NetworkMode, Scope, Visibility};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::samples::{address, in_namespace, ip, key, policy, port, service, workload};

#[test]
fn tel_19_a_service_is_found_by_the_port_it_leads_to() {
    let snapshot = crate::samples::snapshot(|edit| {
        edit.insert_service(Service { ports: vec![port(80, 8080), port(81, 0)], ..service("web", &[]) });
        edit.insert_service(Service { ports: vec![port(90, 9090)], ..service("api", &[]) });
    });
    let backs = [
        (key("web"), PortMap::from([(81, 7070)])),
        (key("api"), PortMap::new()),
        (key("lost"), PortMap::new()),
    ];
    let web = Workload { services: backs.into(), ..workload("one") };
    for (target_port, service) in
        [(8080, Some("web")), (7070, Some("web")), (9090, Some("api")), (80, None), (0, None)]
    {
        let found = snapshot.find_service_behind(&web, target_port).map(|service| service.name.to_string());
        assert_eq!(found.as_deref(), service, "{target_port}");
    }
}

#[derive(Clone, Debug)]
enum Change {
    Workload(Workload),
    NoWorkload(Uid),
    Service(Service),
    NoService(NamespacedHostname),
    Policy(Policy),
    NoPolicy(PolicyKey),
}

const ADDRESSES: [&str; 4] = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "fd00::1"];
const NAMESPACES: [&str; 3] = ["prod", "test", "none"];

fn workloads() -> impl Strategy<Value = Workload> {
    let name = select(vec!["a", "b", "c"]);
    (
        name,
        vec(select(ADDRESSES.to_vec()), 0..3),
        vec(select(vec!["web", "api"]), 0..3),
        any::<[bool; 3]>(),
        vec(policy_keys(), 0..2),
    )
        .prop_map(|(name, addresses, services, [entry, host, tcp], authorization_policies)| {
            let mut made = workload(name);
            if entry {
                made.uid = Uid::from(format!("entry/{name}").as_str());
            }
            made.addresses = addresses.into_iter().map(ip).collect();
            made.services = services.into_iter().map(|name| (key(name), PortMap::new())).collect();
            made.network_mode = if host { NetworkMode::HostNetwork } else { NetworkMode::Standard };
            made.tunnel = if tcp { mesh_model::TunnelProtocol::Tcp } else { made.tunnel };
            Workload { authorization_policies, ..made }
        })
}

fn services() -> impl Strategy<Value = Service> {
    let name = select(vec!["web", "api"]);
    let blocks = option::of(select(vec!["10.0.0.0/24", "10.0.0.0/16", "fd00::/64"]));
    let place = (name, select(NAMESPACES.to_vec()));
    (place, vec(select(ADDRESSES.to_vec()), 0..3), blocks, any::<[bool; 2]>()).prop_map(
        |((name, namespace), addresses, blocks, [private, canonical])| {
            let addresses: BTreeSet<&str> = addresses.into_iter().collect();
            let made = service(name, &addresses.into_iter().collect::<Vec<_>>());
            let block = |text: &str| NetworkCidr { network: "".into(), cidr: text.parse().unwrap() };
            let visibility = if private { Visibility::Namespace } else { Visibility::Public };
            let made =
                Service { cidrs: blocks.into_iter().map(block).collect(), visibility, canonical, ..made };
            in_namespace(namespace, made)
        },
    )
}

fn policy_keys() -> impl Strategy<Value = PolicyKey> {
    (select(vec!["prod", "test"]), select(vec!["p", "q"]))
        .prop_map(|(namespace, name)| PolicyKey::new(namespace, name))
}

fn changes() -> impl Strategy<Value = Change> {
    let scopes = select(vec![Scope::Global, Scope::Namespace, Scope::WorkloadSelector]);
    prop_oneof![
        3 => workloads().prop_map(Change::Workload),
        1 => workloads().prop_map(|workload| Change::NoWorkload(workload.uid)),
        3 => services().prop_map(Change::Service),
        1 => services().prop_map(|service| Change::NoService(service.key)),
        2 => (policy_keys(), scopes)
            .prop_map(|(key, scope)| Change::Policy(policy(&key.namespace, &key.name, scope))),
        1 => policy_keys().prop_map(Change::NoPolicy),
    ]
}

/// What is there, in no index at all.
#[derive(Default)]
struct Plain {
    workloads: BTreeMap<Uid, Workload>,
    services: BTreeMap<NamespacedHostname, Service>,
    policies: BTreeMap<PolicyKey, Policy>,
}

impl Plain {
    fn change(&mut self, change: Change) {
        match change {
            Change::Workload(workload) => drop(self.workloads.insert(workload.uid.clone(), workload)),
            Change::NoWorkload(uid) => drop(self.workloads.remove(&uid)),
            Change::Service(service) => drop(self.services.insert(service.key.clone(), service)),
            Change::NoService(key) => drop(self.services.remove(&key)),
            Change::Policy(policy) => drop(self.policies.insert(policy.key.clone(), policy)),
            Change::NoPolicy(key) => drop(self.policies.remove(&key)),
        }
    }

    fn workload_at(&self, at: &NetworkAddress) -> Option<&Workload> {
        let there = self.workloads.values().filter(|workload| workload.own_addresses().any(|own| own == *at));
        there.min_by_key(|workload| {
            let entry = !workload.uid.0.contains("//Pod/");
            (entry, workload.tunnel == mesh_model::TunnelProtocol::Tcp, workload.uid.clone())
        })
    }

    /// How good an answer a service is for a client, the smaller the better; none if it is no answer.
    fn rank(service: &Service, at: &NetworkAddress, client: &str) -> Option<(bool, bool, u8, bool)> {
        let own = &*service.key.namespace == client;
        if !own && service.visibility == Visibility::Namespace {
            return None;
        }
        if service.addresses.contains(at) {
            return Some((false, !own, 0, !service.canonical));
        }
        let block = service.cidrs.iter().find(|block| block.cidr.contains(&at.ip))?;
        Some((true, !own, 128 - block.cidr.prefix_len(), !service.canonical))
    }
}

fn edit(edit: &mut crate::Edit<'_>, change: Change) {
    match change {
        Change::Workload(workload) => edit.insert_workload(workload),
        Change::NoWorkload(uid) => edit.remove_workload(&uid),
        Change::Service(service) => edit.insert_service(service),
        Change::NoService(key) => edit.remove_service(&key),
        Change::Policy(policy) => edit.insert_policy(policy),
        Change::NoPolicy(key) => edit.remove_policy(&key),
    }
}

fn compare(snapshot: &Snapshot, plain: &Plain) -> Result<(), TestCaseError> {
    for at in ADDRESSES.map(address) {
        let found = snapshot.find_workload(&at);
        prop_assert_eq!(found.as_deref(), plain.workload_at(&at));
        for client in NAMESPACES {
            let best = plain.services.values().filter_map(|service| Plain::rank(service, &at, client)).min();
            let found = snapshot.find_service(&at, client);
            prop_assert_eq!(found.and_then(|service| Plain::rank(&service, &at, client)), best);
        }
    }
    for name in ["web", "api"].map(key) {
        let found: Vec<&Workload> = snapshot.endpoints(&name).map(|(workload, _)| &**workload).collect();
        let expected = plain.workloads.values().filter(|workload| workload.services.contains_key(&name));
        prop_assert_eq!(found, expected.collect::<Vec<_>>());
    }
    for workload in plain.workloads.values() {
        let found: BTreeSet<_> = snapshot.policies_for(workload).map(|policy| policy.key.clone()).collect();
        let expected = plain.policies.values().filter(|policy| match policy.scope {
            Scope::Global => true,
            Scope::Namespace => policy.key.namespace == workload.namespace,
            Scope::WorkloadSelector => false,
        });
        let named = workload.authorization_policies.iter().filter(|key| plain.policies.contains_key(key));
        let expected: BTreeSet<_> = expected.map(|policy| &policy.key).chain(named).cloned().collect();
        prop_assert_eq!(found, expected);
    }
    prop_assert_eq!(snapshot.workloads().count(), plain.workloads.len());
    prop_assert_eq!(snapshot.services().count(), plain.services.len());
    prop_assert_eq!(snapshot.policies().count(), plain.policies.len());
    Ok(())
}

/// How many entries all indices have together.
fn count_entries(snapshot: &Snapshot) -> usize {
    let Snapshot {
        workloads,
        services,
        endpoints,
        policies,
        configs,
        waypoint_configs,
        left_by_workloads,
        left_by_services,
    } = snapshot;
    let sizes = workloads.sizes().into_iter().chain(services.sizes()).chain(endpoints.sizes());
    let former = [left_by_workloads.size(), left_by_services.size()];
    sizes.chain(policies.sizes()).chain([configs.size(), waypoint_configs.size()]).chain(former).sum()
}

proptest! {
    #[test]
    fn the_indices_agree_with_what_is_there(batches in vec(vec(changes(), 0..6), 1..8)) {
        let (writer, reader) = crate::new();
        let mut plain = Plain::default();
        for batch in batches {
            writer.change(|edits| batch.iter().for_each(|change| edit(edits, change.clone())));
            batch.into_iter().for_each(|change| plain.change(change));
            compare(&reader.snapshot(), &plain)?;
        }
    }

    #[test]
    fn nothing_is_left_of_what_is_gone(batch in vec(changes(), 0..30)) {
        let (writer, reader) = crate::new();
        writer.change(|edits| batch.iter().for_each(|change| edit(edits, change.clone())));
        let known = reader.snapshot();
        writer.change(|edits| {
            known.workloads().for_each(|workload| edits.remove_workload(&workload.uid));
            known.services().for_each(|service| edits.remove_service(&service.key));
            known.policies().for_each(|policy| edits.remove_policy(&policy.key));
        });
        prop_assert_eq!(count_entries(&reader.snapshot()), 0);
    }
}
