//! An authorization policy in the dump (telemetry.md §8.4).

use mesh_model::{Action, Match, Policy, Scope, ServiceAccountMatch, StringMatch};
use serde::Serialize;

/// Rules are lists of clauses, clauses are lists of matches.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyDump<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    scope: &'static str,
    action: &'static str,
    rules: Vec<Vec<Vec<MatchDump<'a>>>>,
    dry_run: bool,
}

/// What is not asked for is left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MatchDump<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    namespaces: Vec<StringMatchDump<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_namespaces: Vec<StringMatchDump<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    principals: Vec<StringMatchDump<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_principals: Vec<StringMatchDump<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    service_accounts: Vec<ServiceAccountDump<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_service_accounts: Vec<ServiceAccountDump<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    source_ips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_source_ips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    destination_ips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_destination_ips: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    destination_ports: &'a [u16],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    not_destination_ports: &'a [u16],
}

/// One capitalised key.
#[derive(Serialize)]
enum StringMatchDump<'a> {
    Exact(&'a str),
    Prefix(&'a str),
    Suffix(&'a str),
    Presence(()),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceAccountDump<'a> {
    namespace: &'a str,
    service_account: &'a str,
}

impl<'a> From<&'a Policy> for PolicyDump<'a> {
    fn from(policy: &'a Policy) -> Self {
        let clauses = |rule: &'a mesh_model::Rule| {
            rule.clauses.iter().map(|clause| clause.matches.iter().map(MatchDump::from).collect()).collect()
        };
        PolicyDump {
            name: &policy.key.name,
            namespace: &policy.key.namespace,
            scope: match policy.scope {
                Scope::Global => "Global",
                Scope::Namespace => "Namespace",
                Scope::WorkloadSelector => "WorkloadSelector",
            },
            action: match policy.action {
                Action::Allow => "Allow",
                Action::Deny => "Deny",
            },
            rules: policy.rules.iter().map(clauses).collect(),
            dry_run: policy.dry_run,
        }
    }
}

impl<'a> From<&'a Match> for MatchDump<'a> {
    fn from(found: &'a Match) -> Self {
        let texts = |texts: &'a [StringMatch]| texts.iter().map(StringMatchDump::from).collect();
        let accounts =
            |accounts: &'a [ServiceAccountMatch]| accounts.iter().map(ServiceAccountDump::from).collect();
        MatchDump {
            namespaces: texts(&found.namespaces),
            not_namespaces: texts(&found.not_namespaces),
            principals: texts(&found.principals),
            not_principals: texts(&found.not_principals),
            service_accounts: accounts(&found.service_accounts),
            not_service_accounts: accounts(&found.not_service_accounts),
            source_ips: found.source_ips.iter().map(ToString::to_string).collect(),
            not_source_ips: found.not_source_ips.iter().map(ToString::to_string).collect(),
            destination_ips: found.destination_ips.iter().map(ToString::to_string).collect(),
            not_destination_ips: found.not_destination_ips.iter().map(ToString::to_string).collect(),
            destination_ports: &found.destination_ports,
            not_destination_ports: &found.not_destination_ports,
        }
    }
}

impl<'a> From<&'a StringMatch> for StringMatchDump<'a> {
    fn from(pattern: &'a StringMatch) -> Self {
        match pattern {
            StringMatch::Exact(text) => StringMatchDump::Exact(text),
            StringMatch::Prefix(text) => StringMatchDump::Prefix(text),
            StringMatch::Suffix(text) => StringMatchDump::Suffix(text),
            StringMatch::Presence => StringMatchDump::Presence(()),
        }
    }
}

impl<'a> From<&'a ServiceAccountMatch> for ServiceAccountDump<'a> {
    fn from(account: &'a ServiceAccountMatch) -> Self {
        ServiceAccountDump { namespace: &account.namespace, service_account: &account.service_account }
    }
}
