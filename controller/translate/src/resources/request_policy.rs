//! AuthorizationPolicies as waypoints judge them: all of their attributes (api.md §3.6).
//!
//! What cannot be read must not open what it was to close: such a rule takes nothing where it allows, and everything
//! where it denies. The policy's status says which and why.

mod conditions;

use mesh_model::{PolicyAction, PolicyClause, PolicyKey, PolicyRule, RequestPolicy};

use crate::cluster::{Kept, Name};
use crate::labels;
use crate::objects::{self, AuthorizationPolicySpec};

/// What becomes of a policy at waypoints.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RequestConversion {
    pub(crate) policy: RequestPolicy,
    /// What of it cannot be read, each with its field.
    pub(crate) problems: Vec<String>,
}

pub(crate) fn convert(name: &Name, object: &Kept<AuthorizationPolicySpec>) -> RequestConversion {
    let spec = &object.spec;
    let provider = spec.provider.as_ref().map(|it| it.name.as_str()).unwrap_or_default();
    let action = match spec.action {
        objects::PolicyAction::Allow => PolicyAction::Allow,
        objects::PolicyAction::Deny => PolicyAction::Deny,
        objects::PolicyAction::Audit => PolicyAction::Audit,
        objects::PolicyAction::Custom => PolicyAction::Custom(provider.into()),
    };
    let mut problems = Vec::new();
    let mut rules = Vec::new();
    for (at, rule) in spec.rules.iter().enumerate() {
        let before = problems.len();
        let rule = convert_rule(&name.namespace, rule, &format!("spec.rules[{at}]"), &mut problems);
        let consequence = match (problems.len() == before, &action) {
            (true, _) => {
                rules.push(rule);
                continue;
            }
            (false, PolicyAction::Allow | PolicyAction::Audit) => "the rule never matches",
            (false, PolicyAction::Deny | PolicyAction::Custom(_)) => {
                rules.push(PolicyRule::default());
                "the rule matches everything"
            }
        };
        problems[before..].iter_mut().for_each(|problem| *problem = format!("{problem}, so {consequence}"));
    }
    let policy = RequestPolicy {
        key: PolicyKey::new(name.namespace.clone(), name.name.clone()),
        action,
        dry_run: object.facts.annotation(labels::DRY_RUN) == Some("true"),
        rules,
    };
    RequestConversion { policy, problems }
}

fn convert_rule(
    namespace: &str,
    rule: &objects::PolicyRule,
    path: &str,
    problems: &mut Vec<String>,
) -> PolicyRule {
    let mut clauses = Vec::new();
    if !rule.from.is_empty() {
        let sources = rule.from.iter().enumerate().map(|(at, entry)| {
            conditions::of_source(namespace, &entry.source, &format!("{path}.from[{at}].source"), problems)
        });
        clauses.push(PolicyClause { alternatives: sources.collect() });
    }
    if !rule.to.is_empty() {
        let operations = rule.to.iter().enumerate().map(|(at, entry)| {
            conditions::of_operation(&entry.operation, &format!("{path}.to[{at}].operation"), problems)
        });
        clauses.push(PolicyClause { alternatives: operations.collect() });
    }
    for (at, condition) in rule.when.iter().enumerate() {
        match conditions::of_attribute(namespace, condition) {
            Ok(condition) => clauses.push(PolicyClause { alternatives: vec![vec![condition]] }),
            Err(reason) => problems.push(format!("{path}.when[{at}]: {reason}")),
        }
    }
    PolicyRule { clauses }
}
