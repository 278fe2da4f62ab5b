//! PeerAuthentications become policies that deny callers without identity (api.md §5.5).

use std::collections::BTreeMap;

use mesh_model::{Action, Clause, Match, Policy, PolicyKey, Rule, Scope, StringMatch};

use crate::cluster::{Cluster, Kept, Name};
use crate::objects::{MtlsMode, PeerAuthenticationSpec};

/// In the root namespace: denies every caller without identity.
pub(crate) const STATIC_STRICT: &str = "istio_converted_static_strict";
const CONVERTED: &str = "converted_peer_authentication_";

type PeerAuthentication = Kept<PeerAuthenticationSpec>;

/// The policy that stands for a PeerAuthentication whose ports differ from the rest.
fn converted_name(name: &Name) -> PolicyKey {
    PolicyKey::new(name.namespace.clone(), format!("{CONVERTED}{}", name.name))
}

fn static_key(cluster: &Cluster) -> PolicyKey {
    PolicyKey::new(cluster.settings.root_namespace.clone(), STATIC_STRICT)
}

/// The policies that PeerAuthentications may have become.
pub(crate) fn keys(cluster: &Cluster) -> impl Iterator<Item = PolicyKey> {
    let each = cluster.peer_authentications.iter().map(|(name, _)| converted_name(name));
    each.chain([static_key(cluster)])
}

/// The policy of that name, if it is one of ours.
pub(super) fn derive(cluster: &Cluster, key: &PolicyKey) -> Option<Policy> {
    let rules = if *key == static_key(cluster) {
        let used = !cluster.peer_authentications.is_empty();
        used.then(|| vec![without_identity(None)])?
    } else {
        let name = Name::new(key.namespace.clone(), key.name.strip_prefix(CONVERTED)?);
        port_rules(cluster, &name, cluster.peer_authentications.get(&name)?)?
    };
    Some(Policy {
        key: key.clone(),
        scope: Scope::WorkloadSelector,
        action: Action::Deny,
        rules,
        dry_run: false,
    })
}

/// The policies that together mean the mode of a workload with these labels.
pub(super) fn effective(
    cluster: &Cluster,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> Option<PolicyKey> {
    let strict = match oldest(cluster, namespace, |it| selects(it, labels)) {
        // Selectors in the root namespace mean nothing in ambient.
        Some((name, own)) if !is_root(cluster, namespace) => {
            if port_rules(cluster, name, own).is_some() {
                return Some(converted_name(name));
            }
            is_strict_by_default(cluster, name, own)
        }
        _ => is_namespace_strict(cluster, namespace),
    };
    strict.then(|| static_key(cluster))
}

/// What differs from the mode of the other ports; `None` if nothing does.
fn port_rules(cluster: &Cluster, name: &Name, own: &PeerAuthentication) -> Option<Vec<Rule>> {
    if !has_selector(own) || is_root(cluster, &name.namespace) {
        return None;
    }
    let ports = |wanted: &[MtlsMode]| -> Vec<u16> {
        let ports = own.spec.port_level_mtls.iter();
        ports.filter(|(_, mtls)| wanted.contains(&mtls.mode)).map(|(port, _)| *port).collect()
    };
    if is_strict_by_default(cluster, name, own) {
        let open = ports(&[MtlsMode::Permissive, MtlsMode::Disable]);
        let other_ports = Match { not_destination_ports: open.clone(), ..Match::default() };
        return (!open.is_empty()).then(|| vec![without_identity(Some(other_ports))]);
    }
    let closed = ports(&[MtlsMode::Strict]).into_iter();
    let rules = closed
        .map(|port| without_identity(Some(Match { destination_ports: vec![port], ..Match::default() })));
    let rules: Vec<Rule> = rules.collect();
    (!rules.is_empty()).then_some(rules)
}

/// Matches callers without identity, where `ports` matches too.
fn without_identity(ports: Option<Match>) -> Rule {
    let nobody = Match { not_principals: vec![StringMatch::Presence], ..Match::default() };
    let matches = [Some(nobody), ports].into_iter().flatten();
    Rule { clauses: matches.map(|it| Clause { matches: vec![it] }).collect() }
}

/// The mode of the ports that are not named.
fn is_strict_by_default(cluster: &Cluster, name: &Name, own: &PeerAuthentication) -> bool {
    strictness(own).unwrap_or_else(|| is_namespace_strict(cluster, &name.namespace))
}

/// The mode of workloads that no selector selects: their namespace's, or else the mesh's.
fn is_namespace_strict(cluster: &Cluster, namespace: &str) -> bool {
    let mode =
        |namespace| oldest(cluster, namespace, |it| !has_selector(it)).and_then(|(_, it)| strictness(it));
    mode(namespace).or_else(|| mode(&cluster.settings.root_namespace)).unwrap_or(false)
}

/// `None` where the next wider object decides.
fn strictness(object: &PeerAuthentication) -> Option<bool> {
    match object.spec.mtls.unwrap_or_default().mode {
        MtlsMode::Unset => None,
        MtlsMode::Disable | MtlsMode::Permissive => Some(false),
        MtlsMode::Strict => Some(true),
    }
}

/// L4-28: of several with the same reach, the oldest counts.
fn oldest<'a>(
    cluster: &'a Cluster,
    namespace: &str,
    mut wanted: impl FnMut(&PeerAuthentication) -> bool,
) -> Option<(&'a Name, &'a PeerAuthentication)> {
    let all = cluster.peer_authentications.in_namespace(namespace);
    all.filter(|(_, it)| wanted(it)).min_by_key(|(name, it)| (it.facts.created, *name))
}

fn has_selector(object: &PeerAuthentication) -> bool {
    object.spec.selector.as_ref().is_some_and(|selector| !selector.match_labels.is_empty())
}

fn selects(object: &PeerAuthentication, labels: &BTreeMap<String, String>) -> bool {
    has_selector(object)
        && object.spec.selector.iter().all(|it| crate::cluster::includes(labels, &it.match_labels))
}

fn is_root(cluster: &Cluster, namespace: &str) -> bool {
    cluster.settings.root_namespace.as_ref() == namespace
}
