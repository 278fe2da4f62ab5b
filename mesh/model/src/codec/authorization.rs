//! `istio.security.Authorization`: an L4 policy, both ways.

use ipnet::IpNet;
use mesh_proto::istio::security as proto;
use proto::string_match::MatchType;

use super::DecodeError;
use super::field::{cidr, each, ip_bytes, known, named, parse_message, port, required};
use crate::{Action, Clause, Match, Policy, PolicyKey, Rule, Scope, ServiceAccountMatch, StringMatch};

/// The type URL of these resources.
pub const TYPE_URL: &str = mesh_proto::type_urls::AUTHORIZATION;

/// Reads a resource as it arrives on a discovery stream.
pub fn from_bytes(bytes: &[u8]) -> Result<Policy, DecodeError> {
    decode(parse_message(bytes)?)
}

/// The policy an Authorization resource describes.
pub fn decode(wire: proto::Authorization) -> Result<Policy, DecodeError> {
    let action = match known("action", wire.action)? {
        proto::Action::Allow => Action::Allow,
        proto::Action::Deny => Action::Deny,
    };
    Ok(Policy {
        key: PolicyKey::new(wire.namespace, named("name", &wire.name)?),
        scope: match known("scope", wire.scope)? {
            proto::Scope::Global => Scope::Global,
            proto::Scope::Namespace => Scope::Namespace,
            proto::Scope::WorkloadSelector => Scope::WorkloadSelector,
        },
        action,
        rules: each("groups", wire.groups, |group| {
            let clauses = each("rules", group.rules, |rules| {
                let matches = each("matches", rules.matches, |wire| decode_match(wire, action))?;
                Ok(Clause { matches })
            })?;
            Ok(Rule { clauses })
        })?,
        dry_run: wire.dry_run,
    })
}

/// A policy as an Authorization resource.
pub fn encode(policy: &Policy) -> proto::Authorization {
    let rules = |clause: &Clause| proto::Rules { matches: clause.matches.iter().map(encode_match).collect() };
    let group = |rule: &Rule| proto::Group { rules: rule.clauses.iter().map(rules).collect() };
    proto::Authorization {
        name: policy.key.name.to_string(),
        namespace: policy.key.namespace.to_string(),
        scope: match policy.scope {
            Scope::Global => proto::Scope::Global,
            Scope::Namespace => proto::Scope::Namespace,
            Scope::WorkloadSelector => proto::Scope::WorkloadSelector,
        }
        .into(),
        action: match policy.action {
            Action::Allow => proto::Action::Allow,
            Action::Deny => proto::Action::Deny,
        }
        .into(),
        groups: policy.rules.iter().map(group).collect(),
        dry_run: policy.dry_run,
        extensions: Vec::new(),
    }
}

fn decode_match(wire: proto::Match, action: Action) -> Result<Match, DecodeError> {
    // A condition nobody here can judge may only make a policy stricter: an
    // allowing match with one never matches, a denying match does without it.
    if !wire.extensions.is_empty() && action == Action::Allow {
        return Ok(Match::default());
    }
    Ok(Match {
        namespaces: each("namespaces", wire.namespaces, decode_string)?,
        not_namespaces: each("not_namespaces", wire.not_namespaces, decode_string)?,
        service_accounts: each("service_accounts", wire.service_accounts, decode_account)?,
        not_service_accounts: each("not_service_accounts", wire.not_service_accounts, decode_account)?,
        principals: each("principals", wire.principals, decode_string)?,
        not_principals: each("not_principals", wire.not_principals, decode_string)?,
        source_ips: each("source_ips", wire.source_ips, decode_block)?,
        not_source_ips: each("not_source_ips", wire.not_source_ips, decode_block)?,
        destination_ips: each("destination_ips", wire.destination_ips, decode_block)?,
        not_destination_ips: each("not_destination_ips", wire.not_destination_ips, decode_block)?,
        destination_ports: each("destination_ports", wire.destination_ports, |number| port("", number))?,
        not_destination_ports: each("not_destination_ports", wire.not_destination_ports, |number| {
            port("", number)
        })?,
    })
}

fn encode_match(wanted: &Match) -> proto::Match {
    proto::Match {
        namespaces: wanted.namespaces.iter().map(encode_string).collect(),
        not_namespaces: wanted.not_namespaces.iter().map(encode_string).collect(),
        principals: wanted.principals.iter().map(encode_string).collect(),
        not_principals: wanted.not_principals.iter().map(encode_string).collect(),
        source_ips: wanted.source_ips.iter().map(encode_block).collect(),
        not_source_ips: wanted.not_source_ips.iter().map(encode_block).collect(),
        destination_ips: wanted.destination_ips.iter().map(encode_block).collect(),
        not_destination_ips: wanted.not_destination_ips.iter().map(encode_block).collect(),
        destination_ports: wanted.destination_ports.iter().map(|port| u32::from(*port)).collect(),
        not_destination_ports: wanted.not_destination_ports.iter().map(|port| u32::from(*port)).collect(),
        service_accounts: wanted.service_accounts.iter().map(encode_account).collect(),
        not_service_accounts: wanted.not_service_accounts.iter().map(encode_account).collect(),
        extensions: Vec::new(),
    }
}

fn decode_string(wire: proto::StringMatch) -> Result<StringMatch, DecodeError> {
    Ok(match required("match_type", wire.match_type)? {
        MatchType::Exact(text) => StringMatch::Exact(text.into()),
        MatchType::Prefix(text) => StringMatch::Prefix(text.into()),
        MatchType::Suffix(text) => StringMatch::Suffix(text.into()),
        MatchType::Presence(()) => StringMatch::Presence,
    })
}

fn encode_string(wanted: &StringMatch) -> proto::StringMatch {
    let match_type = match wanted {
        StringMatch::Exact(text) => MatchType::Exact(text.to_string()),
        StringMatch::Prefix(text) => MatchType::Prefix(text.to_string()),
        StringMatch::Suffix(text) => MatchType::Suffix(text.to_string()),
        StringMatch::Presence => MatchType::Presence(()),
    };
    proto::StringMatch { match_type: Some(match_type) }
}

fn decode_account(wire: proto::ServiceAccountMatch) -> Result<ServiceAccountMatch, DecodeError> {
    Ok(ServiceAccountMatch {
        namespace: wire.namespace.into(),
        service_account: named("service_account", &wire.service_account)?,
    })
}

fn encode_account(wanted: &ServiceAccountMatch) -> proto::ServiceAccountMatch {
    proto::ServiceAccountMatch {
        namespace: wanted.namespace.to_string(),
        service_account: wanted.service_account.to_string(),
    }
}

fn decode_block(wire: proto::Address) -> Result<IpNet, DecodeError> {
    cidr(&wire.address, wire.length)
}

fn encode_block(block: &IpNet) -> proto::Address {
    proto::Address { address: ip_bytes(block.network()), length: block.prefix_len().into() }
}

#[cfg(test)]
mod tests;
