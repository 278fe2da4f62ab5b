//! The endpoints of a scope, made ready to be chosen from: who comes into question, in which groups, by which
//! table. Made once per change of what it is made of; a choice takes a look at a few of its entries.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use mesh_model::{
    AppProtocol, Choice, HealthCheck, LoadBalancer, Service, ServiceConfig, Subset, TrafficPolicy, Uid,
    Warmup, Workload,
};
use mesh_state::{Endpoint, Snapshot, balance};
use tokio::time::Instant;

use super::bond;
use super::caller::{Caller, Key};
use super::draw::Draw;
use super::group::{Group, Roll, Scope};
use super::locality::Preference;
use super::record::{OnItsWay, Record, Watch};
use super::shares::{Strength, of_groups, of_levels};
use super::table::Table;
use super::unwell::leave_out;
use super::warmup::{is_over, step, weight_at};

/// What a lineup is made of, beside who is left out. Of the service's configuration that is little: where its routes
/// change, the lineup stays.
#[derive(Debug)]
pub(super) struct Basis {
    me: Arc<Workload>,
    service: Arc<Service>,
    endpoints: Option<Arc<Vec<Arc<Workload>>>>,
    /// The subset that the group is of, if it is declared; inside, none if it is of the whole service.
    subset: Option<Option<Subset>>,
    policy: TrafficPolicy,
    check: Option<HealthCheck>,
}

impl Basis {
    /// That of a scope now; none if its service or this waypoint is not known.
    pub(super) fn find(snapshot: &Snapshot, me: &Uid, scope: &Scope) -> Option<Basis> {
        let config = snapshot.service_config(&scope.service);
        let subset = find_subset(config.as_deref(), scope);
        let policy = config.as_ref().and_then(|it| it.find_traffic(scope.port, subset.flatten()));
        Some(Basis {
            me: snapshot.find_workload_by_uid(me)?,
            service: snapshot.find_service_by_key(&scope.service)?,
            endpoints: snapshot.endpoint_list(&scope.service).cloned(),
            subset: subset.map(Option::<&Subset>::cloned),
            policy: policy.cloned().unwrap_or_default(),
            check: config.as_ref().and_then(|it| it.health_check.clone()),
        })
    }

    pub(super) fn is(&self, other: &Basis) -> bool {
        let place = |endpoints: &Option<Arc<_>>| endpoints.as_ref().map(Arc::as_ptr);
        Arc::ptr_eq(&self.me, &other.me)
            && Arc::ptr_eq(&self.service, &other.service)
            && place(&self.endpoints) == place(&other.endpoints)
            && self.subset == other.subset
            && self.policy == other.policy
            && self.check == other.check
    }
}

/// Endpoints to choose from.
#[derive(Debug)]
pub(super) struct Lineup {
    pub(super) basis: Basis,
    group: Arc<Group>,
    epoch: u64,
    /// When weights change by themselves.
    stale_at: Option<Instant>,
    pub(super) app_protocol: AppProtocol,
    key: Option<Key>,
    watch: Option<Arc<Watch>>,
    /// The best first.
    tiers: Vec<Tier>,
    shares: Draw,
    /// Where the endpoints are that sessions are bound to; made when one asks.
    bonds: OnceLock<HashMap<u64, (usize, usize)>>,
}

/// Endpoints that come into question alike.
#[derive(Debug)]
struct Tier {
    hosts: Vec<Host>,
    table: Table,
}

#[derive(Debug)]
struct Host {
    endpoint: Arc<Endpoint>,
    record: Arc<Record>,
}

/// What becomes a tier.
#[derive(Default)]
struct Draft {
    hosts: Vec<(Host, u64)>,
    strength: Strength,
}

impl Lineup {
    /// Makes ready what a snapshot knows of a group's endpoints.
    pub(super) fn make(basis: Basis, snapshot: &Snapshot, group: &Arc<Group>, now: Instant) -> Lineup {
        let (subset, policy) = (basis.subset.as_ref().map(Option::as_ref), &basis.policy);
        let preference = Preference::of(policy.load_balancer.locality.as_ref(), &basis.me);
        // A subset that is not declared has no endpoints.
        let found = subset.map(|subset| find_endpoints(&basis, snapshot, group, subset, &preference));
        let found = found.unwrap_or_default();

        let detection = policy.outlier_detection.as_ref();
        let endpoints = found.iter().map(|(endpoint, _)| endpoint);
        let Roll { epoch, mut members } = group.call(endpoints, detection.is_some(), now);
        // Looked at after the epoch, which changes once something else is known of them.
        let check = basis.check.as_ref();
        let unwell = check.map(|_| group.unwell());
        leave_out(&mut members, detection, check.zip(unwell.as_deref()));
        let warmup = warmup_of(&policy.load_balancer);
        let stale_at = warmup.and_then(|warmup| {
            let is_new = |(record, _): &(Arc<Record>, bool)| !is_over(warmup, now - record.since);
            members.iter().any(is_new).then(|| now + step(warmup))
        });
        let drafts = draft(found, members, |weight, record| {
            warmup.map_or(weight, |warmup| weight_at(warmup, weight, now - record.since))
        });

        let shares = shares_of(&drafts, &preference);
        let choice = &policy.load_balancer.choice;
        Lineup {
            app_protocol: protocol_of(&basis, group),
            key: key_of(choice, group),
            watch: detection.map(|it| Arc::new(Watch { group: group.clone(), detection: it.clone() })),
            tiers: drafts.into_values().map(|draft| Tier::new(draft, choice)).collect(),
            shares: Draw::new(&shares),
            bonds: OnceLock::new(),
            group: group.clone(),
            epoch,
            stale_at,
            basis,
        }
    }

    /// Whether nobody has been left out or taken back since, and weights are what they were. Looks at the
    /// clock only while somebody warms up.
    pub(super) fn is_current(&self) -> bool {
        self.epoch == self.group.epoch() && self.stale_at.is_none_or(|at| Instant::now() < at)
    }

    /// An endpoint for a caller, if possible none of those tried before; none if nobody is there.
    pub(super) fn choose(
        &self,
        caller: &mut Caller<'_>,
        tried: &[SocketAddr],
    ) -> Option<(Arc<Endpoint>, OnItsWay)> {
        let bound = caller.bond().and_then(|bond| self.find_bound(bond));
        if let Some(host) = bound.filter(|host| !tried.contains(&host.endpoint.address)) {
            return Some((host.endpoint.clone(), OnItsWay::to(&host.record, self.watch.as_ref())));
        }
        let hash = self.key.as_ref().and_then(|key| caller.hash(key));
        // Another part of the hash than tables begin with: who is in a tier says nothing of a place in it.
        let number = hash.map_or_else(rand::random, |hash| hash.rotate_left(32));
        let tier = &self.tiers[self.shares.at(number)?];
        let mut host = tier.pick(hash)?;
        if tried.contains(&host.endpoint.address) {
            // Who has failed is worse than who is further away.
            let mut tiers = std::iter::once(tier).chain(&self.tiers);
            host = tiers.find_map(|tier| tier.pick_fresh(hash, tried)).unwrap_or(host);
        }
        Some((host.endpoint.clone(), OnItsWay::to(&host.record, self.watch.as_ref())))
    }
}

impl Lineup {
    /// Whether one of the endpoints has that number.
    pub(super) fn is_bound(&self, bond: u64) -> bool {
        self.find_bound(bond).is_some()
    }

    fn find_bound(&self, bond: u64) -> Option<&Host> {
        let scope = &self.group.scope;
        let bonds = self.bonds.get_or_init(|| {
            let tiers = self.tiers.iter().enumerate();
            let all = tiers
                .flat_map(|(tier, it)| it.hosts.iter().enumerate().map(move |(at, host)| (tier, at, host)));
            let of = |endpoint| bond::bond(&scope.service, scope.port, scope.subset.as_deref(), endpoint);
            all.map(|(tier, at, host)| (of(&host.endpoint), (tier, at))).collect()
        });
        let (tier, at) = *bonds.get(&bond)?;
        self.tiers.get(tier)?.hosts.get(at)
    }
}

impl Tier {
    fn new(draft: Draft, choice: &Choice) -> Tier {
        let members = draft.hosts.iter().map(|(host, weight)| (host.endpoint.address, *weight));
        let table = Table::new(choice, &members.collect::<Vec<_>>());
        Tier { hosts: draft.hosts.into_iter().map(|(host, _)| host).collect(), table }
    }

    fn pick(&self, hash: Option<u64>) -> Option<&Host> {
        self.hosts.get(self.table.pick(hash, |index| self.hosts[index].record.load())?)
    }

    /// One that has not been tried; none if all have.
    fn pick_fresh(&self, hash: Option<u64>, tried: &[SocketAddr]) -> Option<&Host> {
        let is_fresh = |host: &&Host| !tried.contains(&host.endpoint.address);
        // Few have been tried, so one that has not is soon found, if there is one.
        self.hosts.iter().find(is_fresh)?;
        if let Some(mut walk) = hash.and_then(|hash| self.table.walk(hash)) {
            return walk.find_map(|index| self.hosts.get(index).filter(is_fresh));
        }
        let start = rand::random_range(0..self.hosts.len());
        self.hosts[start..].iter().chain(&self.hosts[..start]).find(is_fresh)
    }
}

/// The subset that a scope is of, as above.
fn find_subset<'c>(config: Option<&'c ServiceConfig>, scope: &Scope) -> Option<Option<&'c Subset>> {
    let Some(name) = &scope.subset else { return Some(None) };
    Some(Some(config?.subsets.iter().find(|subset| subset.name == *name)?))
}

/// The endpoints that may get anything, and the number of the tier each is in.
fn find_endpoints(
    basis: &Basis,
    snapshot: &Snapshot,
    group: &Group,
    subset: Option<&Subset>,
    preference: &Preference<'_>,
) -> Vec<(Endpoint, usize)> {
    let (me, scope) = (&*basis.me, &group.scope);
    let ranked = balance::ranked(snapshot, me, &basis.service, scope.port, scope.like());
    ranked
        .filter(|(endpoint, _)| includes(subset, &endpoint.workload))
        .filter_map(|(endpoint, met)| {
            let tier = preference.group_of(me, &endpoint.workload, met)?;
            Some((endpoint, tier))
        })
        .collect()
}

/// Sorts endpoints into what becomes their tiers; those that are left out count there, and no more.
fn draft(
    endpoints: Vec<(Endpoint, usize)>,
    members: Vec<(Arc<Record>, bool)>,
    weigh: impl Fn(u64, &Record) -> u64,
) -> BTreeMap<usize, Draft> {
    let mut drafts: BTreeMap<usize, Draft> = BTreeMap::new();
    for ((endpoint, number), (record, is_out)) in endpoints.into_iter().zip(members) {
        let draft = drafts.entry(number).or_default();
        draft.strength.total += 1;
        if !is_out {
            draft.strength.healthy += 1;
            let weight = weigh(u64::from(endpoint.workload.capacity), &record);
            draft.hosts.push((Host { endpoint: Arc::new(endpoint), record }, weight));
        }
    }
    drafts
}

/// Whether a workload has all labels of a subset (L7-04).
pub(crate) fn includes(subset: Option<&Subset>, workload: &Workload) -> bool {
    subset.is_none_or(|subset| {
        subset.labels.iter().all(|(name, value)| workload.labels.get(name) == Some(value))
    })
}

/// The shares of tiers, in their order.
fn shares_of(drafts: &BTreeMap<usize, Draft>, preference: &Preference<'_>) -> Vec<u64> {
    let promised = |(number, draft): (&usize, &Draft)| Some((draft.strength, preference.share_of(*number)?));
    match drafts.iter().map(promised).collect::<Option<Vec<_>>>() {
        Some(groups) => of_groups(&groups),
        None => of_levels(&drafts.values().map(|draft| draft.strength).collect::<Vec<_>>()),
    }
}

fn protocol_of(basis: &Basis, group: &Group) -> AppProtocol {
    basis.service.find_port(group.scope.port).map(|port| port.app_protocol).unwrap_or_default()
}

/// What is hashed; what cannot be is none, so that every caller is a new one.
fn key_of(choice: &Choice, group: &Group) -> Option<Key> {
    let Choice::ConsistentHash(hash) = choice else { return None };
    let compiled = Key::compile(&hash.key).map_err(|problem| {
        tracing::warn!(service = %group.scope.service, problem, "a consistent hash has nothing to go by");
    });
    compiled.ok()
}

/// Hashes know no warming up: with every step values would move.
fn warmup_of(balancer: &LoadBalancer) -> Option<&Warmup> {
    balancer.warmup.as_ref().filter(|_| !matches!(balancer.choice, Choice::ConsistentHash(_)))
}

#[cfg(test)]
mod tests;
