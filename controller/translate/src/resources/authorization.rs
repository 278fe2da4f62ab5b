//! AuthorizationPolicies become L4 policies (api.md §5.5). A node proxy cannot see HTTP: what it cannot
//! judge makes a policy stricter, never laxer (L4-23).

mod matches;

use std::collections::BTreeMap;

use mesh_model::{Action, Clause, Policy, PolicyKey, Rule, Scope};

use crate::cluster::{Cluster, Kept, Name, includes};
use crate::labels;
use crate::objects::{AuthorizationPolicySpec, PolicyAction, PolicyRule};
use matches::Translated;

/// What becomes of a policy at L4.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Conversion {
    pub(crate) rules: Vec<Rule>,
    /// The fields that L4 cannot judge, by path.
    pub(crate) ignored: Vec<String>,
}

/// The policy of that name, if node proxies enforce it.
pub(super) fn derive(cluster: &Cluster, key: &PolicyKey) -> Option<Policy> {
    let name = Name::new(key.namespace.clone(), key.name.clone());
    let object = cluster.authorization_policies.get(&name)?;
    let action = l4_action(&object.spec)?;
    let scope = if has_selector(&object.spec) {
        Scope::WorkloadSelector
    } else if key.namespace == cluster.settings.root_namespace {
        Scope::Global
    } else {
        Scope::Namespace
    };
    let rules = convert(&key.namespace, &object.spec).rules;
    let dry_run = object.facts.annotation(labels::DRY_RUN) == Some("true");
    Some(Policy { key: key.clone(), scope, action, rules, dry_run })
}

/// L4-24, L4-29: policies for waypoints, and actions that need more than two outcomes, stay away from L4.
fn l4_action(spec: &AuthorizationPolicySpec) -> Option<Action> {
    if spec.targets().next().is_some() {
        return None;
    }
    match spec.action {
        PolicyAction::Allow => Some(Action::Allow),
        PolicyAction::Deny => Some(Action::Deny),
        PolicyAction::Audit | PolicyAction::Custom => None,
    }
}

fn has_selector(spec: &AuthorizationPolicySpec) -> bool {
    spec.selector.as_ref().is_some_and(|selector| !selector.match_labels.is_empty())
}

/// The policies that select a workload by its labels: those of its namespace and of the root namespace.
pub(super) fn selecting(
    cluster: &Cluster,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> Vec<PolicyKey> {
    let root = cluster.settings.root_namespace.as_ref();
    let selected = |object: &Kept<AuthorizationPolicySpec>| {
        l4_action(&object.spec).is_some()
            && has_selector(&object.spec)
            && object.spec.selector.iter().all(|it| includes(labels, &it.match_labels))
    };
    let own = cluster.authorization_policies.in_namespace(namespace);
    let of_root = cluster.authorization_policies.in_namespace(root).filter(|_| namespace != root);
    let matching = own.chain(of_root).filter(|(_, object)| selected(object));
    matching.map(|(name, _)| PolicyKey::new(name.namespace.clone(), name.name.clone())).collect()
}

/// What L4 can judge of a policy in `namespace`.
pub(crate) fn convert(namespace: &str, spec: &AuthorizationPolicySpec) -> Conversion {
    let mut conversion = Conversion::default();
    for (at, rule) in spec.rules.iter().enumerate() {
        let before = conversion.ignored.len();
        let rules = convert_rule(namespace, rule, &format!("spec.rules[{at}]"), &mut conversion.ignored);
        let complete = conversion.ignored.len() == before;
        match spec.action {
            // Half a permission would be a wider one.
            PolicyAction::Allow if !complete => {}
            _ => conversion.rules.extend(rules),
        }
    }
    conversion
}

/// What is left of a rule when `ignored` fields are taken away, as alternatives.
///
/// An alternative of which nothing is left no longer restricts, so beside the rule made of the others there
/// is one without that restriction; but a rule of which nothing at all is left has no effect.
fn convert_rule(namespace: &str, rule: &PolicyRule, path: &str, ignored: &mut Vec<String>) -> Vec<Rule> {
    let before = ignored.len();
    let from = rule.from.iter().enumerate().map(|(at, entry)| {
        matches::from_source(namespace, &entry.source, &format!("{path}.from[{at}].source"), ignored)
    });
    let from = alternatives(from.collect());
    let to = rule.to.iter().enumerate().map(|(at, entry)| {
        matches::from_operation(&entry.operation, &format!("{path}.to[{at}].operation"), ignored)
    });
    let to = alternatives(to.collect());
    let when = rule.when.iter().enumerate().filter_map(|(at, condition)| {
        let it = matches::from_condition(condition, &format!("{path}.when[{at}]"), ignored);
        (!it.lost_all()).then(|| Clause { matches: vec![it.matched] })
    });
    let when: Vec<Clause> = when.collect();
    let lost_some = ignored.len() > before;
    let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (from, to)));
    let rules = pairs.map(|(from, to)| {
        let clauses = from.iter().chain(to).chain(&when).cloned();
        Rule { clauses: clauses.collect() }
    });
    rules.filter(|rule| !(lost_some && rule.clauses.is_empty())).collect()
}

/// The alternatives with something left as one clause, those with nothing left as one without.
fn alternatives(all: Vec<Translated>) -> Vec<Option<Clause>> {
    if all.is_empty() {
        return vec![None];
    }
    let unrestricted = all.iter().any(Translated::lost_all).then_some(None);
    let left: Vec<_> = all.into_iter().filter(|it| !it.lost_all()).map(|it| it.matched).collect();
    let clause = (!left.is_empty()).then_some(Some(Clause { matches: left }));
    clause.into_iter().chain(unrestricted).collect()
}
