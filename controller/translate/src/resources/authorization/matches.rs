//! Sources, operations and conditions of a policy as L4 matches.

use std::sync::Arc;

use ipnet::IpNet;
use mesh_model::{Match, ServiceAccountMatch, StringMatch};

use crate::objects::{Condition, IpBlock, Operation, PortText, Source};

/// A match, and whether fields of the original are missing in it.
pub(super) struct Translated {
    pub(super) matched: Match,
    lost_some: bool,
}

impl Translated {
    fn new(matched: Match, before: usize, ignored: &[String]) -> Self {
        Translated { matched, lost_some: ignored.len() > before }
    }

    /// It was about something, and nothing of that is left. (A match that was empty from the
    /// beginning stays, and never matches.)
    pub(super) fn lost_all(&self) -> bool {
        self.lost_some && self.matched == Match::default()
    }
}

/// Notes the fields among these that are used.
fn ignore(fields: &[(&str, bool)], path: &str, ignored: &mut Vec<String>) {
    let used = fields.iter().filter(|(_, used)| *used);
    ignored.extend(used.map(|(name, _)| format!("{path}.{name}")));
}

pub(super) fn from_source(
    namespace: &str,
    source: &Source,
    path: &str,
    ignored: &mut Vec<String>,
) -> Translated {
    let before = ignored.len();
    let fields = [
        ("requestPrincipals", !source.request_principals.is_empty()),
        ("notRequestPrincipals", !source.not_request_principals.is_empty()),
        ("remoteIpBlocks", !source.remote_ip_blocks.is_empty()),
        ("notRemoteIpBlocks", !source.not_remote_ip_blocks.is_empty()),
        // The peer converts these to nothing without saying so, which can widen a permission.
        ("trustDomains", !source.trust_domains.is_empty()),
        ("notTrustDomains", !source.not_trust_domains.is_empty()),
    ];
    ignore(&fields, path, ignored);
    let accounts = |names: &[String]| names.iter().map(|name| service_account(namespace, name)).collect();
    let matched = Match {
        namespaces: strings(&source.namespaces),
        not_namespaces: strings(&source.not_namespaces),
        service_accounts: accounts(&source.service_accounts),
        not_service_accounts: accounts(&source.not_service_accounts),
        principals: strings(&source.principals),
        not_principals: strings(&source.not_principals),
        source_ips: blocks(&source.ip_blocks),
        not_source_ips: blocks(&source.not_ip_blocks),
        ..Match::default()
    };
    Translated::new(matched, before, ignored)
}

pub(super) fn from_operation(operation: &Operation, path: &str, ignored: &mut Vec<String>) -> Translated {
    let before = ignored.len();
    let fields = [
        ("hosts", !operation.hosts.is_empty()),
        ("notHosts", !operation.not_hosts.is_empty()),
        ("methods", !operation.methods.is_empty()),
        ("notMethods", !operation.not_methods.is_empty()),
        ("paths", !operation.paths.is_empty()),
        ("notPaths", !operation.not_paths.is_empty()),
    ];
    ignore(&fields, path, ignored);
    let matched = Match {
        destination_ports: ports(&operation.ports),
        not_destination_ports: ports(&operation.not_ports),
        ..Match::default()
    };
    Translated::new(matched, before, ignored)
}

pub(super) fn from_condition(condition: &Condition, path: &str, ignored: &mut Vec<String>) -> Translated {
    let before = ignored.len();
    let (values, not_values) = (&condition.values, &condition.not_values);
    let mut it = Match::default();
    let understood = match condition.key.as_str() {
        "source.namespace" => {
            (it.namespaces, it.not_namespaces) = (strings(values), strings(not_values));
            true
        }
        "source.principal" => {
            (it.principals, it.not_principals) = (strings(values), strings(not_values));
            true
        }
        "source.ip" => read_both(values, not_values, read_block)
            .map(|both| (it.source_ips, it.not_source_ips) = both)
            .is_some(),
        "destination.ip" => read_both(values, not_values, read_block)
            .map(|both| (it.destination_ips, it.not_destination_ips) = both)
            .is_some(),
        "destination.port" => read_both(values, not_values, |text| text.parse().ok())
            .map(|both| (it.destination_ports, it.not_destination_ports) = both)
            .is_some(),
        _ => false,
    };
    if !understood {
        ignored.push(format!("{path} ({})", condition.key));
    }
    Translated::new(it, before, ignored)
}

fn read_both<T>(
    values: &[String],
    not_values: &[String],
    read: impl Fn(&str) -> Option<T>,
) -> Option<(Vec<T>, Vec<T>)> {
    let all = |texts: &[String]| texts.iter().map(|text| read(text)).collect::<Option<Vec<T>>>();
    Some((all(values)?, all(not_values)?))
}

fn read_block(text: &str) -> Option<IpNet> {
    IpBlock::parse(text).map(|block| block.0)
}

fn blocks(blocks: &[IpBlock]) -> Vec<IpNet> {
    blocks.iter().map(|block| block.0).collect()
}

fn ports(ports: &[PortText]) -> Vec<u16> {
    ports.iter().map(|port| port.0).collect()
}

fn strings(texts: &[String]) -> Vec<StringMatch> {
    texts.iter().map(|text| string(text)).collect()
}

fn string(text: &str) -> StringMatch {
    match (text.strip_suffix('*'), text.strip_prefix('*')) {
        (Some(""), _) => StringMatch::Presence,
        (_, Some(suffix)) => StringMatch::Suffix(suffix.into()),
        (Some(prefix), _) => StringMatch::Prefix(prefix.into()),
        (None, None) => StringMatch::Exact(text.into()),
    }
}

/// `name` of the policy's namespace, or `namespace/name`.
fn service_account(namespace: &str, text: &str) -> ServiceAccountMatch {
    let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
    ServiceAccountMatch { namespace: Arc::from(namespace), service_account: Arc::from(name) }
}
