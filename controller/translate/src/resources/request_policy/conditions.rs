//! Sources, operations and conditions of a policy as conditions on attributes.

use std::sync::Arc;

use mesh_model::{Attribute, Condition, PathTemplate, Pattern, ServiceAccountMatch};

use crate::objects::{self, IpBlock, Operation, PortText, Source, is_token};

/// All of them have to match.
pub(super) fn of_source(
    namespace: &str,
    source: &Source,
    path: &str,
    problems: &mut Vec<String>,
) -> Vec<Condition> {
    let accounts = |names: &[String]| names.iter().map(|name| service_account(namespace, name)).collect();
    let all = [
        texts(Attribute::SourcePrincipal, &source.principals, &source.not_principals),
        texts(Attribute::TokenPrincipal, &source.request_principals, &source.not_request_principals),
        texts(Attribute::SourceNamespace, &source.namespaces, &source.not_namespaces),
        texts(Attribute::SourceTrustDomain, &source.trust_domains, &source.not_trust_domains),
        Condition {
            attribute: Attribute::SourceServiceAccount,
            any_of: accounts(&source.service_accounts),
            none_of: accounts(&source.not_service_accounts),
        },
        blocks(Attribute::SourceIp, &source.ip_blocks, &source.not_ip_blocks),
        blocks(Attribute::RemoteIp, &source.remote_ip_blocks, &source.not_remote_ip_blocks),
    ];
    asking(all, path, problems)
}

/// Those that ask for something. None at all would match everything, which nobody writes so.
fn asking<const N: usize>(all: [Condition; N], path: &str, problems: &mut Vec<String>) -> Vec<Condition> {
    let asking: Vec<Condition> = all.into_iter().filter(asks).collect();
    if asking.is_empty() {
        problems.push(format!("{path}: names nothing"));
    }
    asking
}

/// All of them have to match.
pub(super) fn of_operation(operation: &Operation, path: &str, problems: &mut Vec<String>) -> Vec<Condition> {
    let ports = |ports: &[PortText]| ports.iter().map(|port| Pattern::Port(port.0)).collect();
    let mut paths = |field: &str, texts: &[String]| {
        let read = texts.iter().enumerate().filter_map(|(at, text)| match path_pattern(text) {
            Ok(pattern) => Some(pattern),
            Err(reason) => {
                problems.push(format!("{path}.{field}[{at}]: {reason}"));
                None
            }
        });
        read.collect()
    };
    let all = [
        texts(Attribute::Host, &operation.hosts, &operation.not_hosts),
        Condition {
            attribute: Attribute::DestinationPort,
            any_of: ports(&operation.ports),
            none_of: ports(&operation.not_ports),
        },
        texts(Attribute::Method, &operation.methods, &operation.not_methods),
        Condition {
            attribute: Attribute::Path,
            any_of: paths("paths", &operation.paths),
            none_of: paths("notPaths", &operation.not_paths),
        },
    ];
    asking(all, path, problems)
}

/// One of `when`; or why it cannot be judged.
pub(super) fn of_attribute(namespace: &str, condition: &objects::Condition) -> Result<Condition, String> {
    let attribute = attribute(&condition.key)?;
    let read = |values: &[String]| -> Result<Vec<Pattern>, String> {
        let one = |value: &String| match &attribute {
            Attribute::SourceIp | Attribute::RemoteIp | Attribute::DestinationIp => {
                IpBlock::parse(value).map(|block| Pattern::Block(block.0))
            }
            Attribute::DestinationPort => value.parse().ok().map(Pattern::Port),
            Attribute::SourceServiceAccount => Some(service_account(namespace, value)),
            _ => Some(string(value)),
        };
        let is_wrong = |value: &String| format!("{value:?} is not possible for {}", condition.key);
        values.iter().map(|value| one(value).ok_or_else(|| is_wrong(value))).collect()
    };
    let (any_of, none_of) = (read(&condition.values)?, read(&condition.not_values)?);
    let condition = Condition { attribute, any_of, none_of };
    asks(&condition).then_some(condition).ok_or_else(|| "values or notValues are needed".to_owned())
}

fn attribute(key: &str) -> Result<Attribute, String> {
    Ok(match key {
        "source.ip" => Attribute::SourceIp,
        "remote.ip" => Attribute::RemoteIp,
        "source.namespace" => Attribute::SourceNamespace,
        "source.serviceAccount" => Attribute::SourceServiceAccount,
        "source.trustDomain" => Attribute::SourceTrustDomain,
        "source.principal" => Attribute::SourcePrincipal,
        "request.auth.principal" => Attribute::TokenPrincipal,
        "request.auth.audiences" => Attribute::TokenAudience,
        "request.auth.presenter" => Attribute::TokenPresenter,
        "destination.ip" => Attribute::DestinationIp,
        "destination.port" => Attribute::DestinationPort,
        "connection.sni" => Attribute::ConnectionSni,
        key => return bracketed(key),
    })
}

/// `request.headers[name]`, `request.auth.claims[outer][inner]`.
fn bracketed(key: &str) -> Result<Attribute, String> {
    let unknown = || format!("{key:?} is not an attribute that a waypoint can judge");
    let (base, rest) = key.split_once('[').ok_or_else(unknown)?;
    let inner = rest.strip_suffix(']').ok_or_else(unknown)?;
    let parts: Vec<&str> = inner.split("][").collect();
    match (base, parts.as_slice()) {
        (_, parts) if parts.iter().any(|part| part.is_empty() || part.contains(['[', ']'])) => Err(unknown()),
        ("request.headers", [name]) => match is_token(name) {
            true => Ok(Attribute::Header(name.to_ascii_lowercase().into())),
            false => Err(format!("{name:?} is not the name of a header")),
        },
        ("request.auth.claims", names) => {
            Ok(Attribute::TokenClaim(names.iter().copied().map(Arc::from).collect()))
        }
        _ => Err(unknown()),
    }
}

fn asks(condition: &Condition) -> bool {
    !condition.any_of.is_empty() || !condition.none_of.is_empty()
}

fn texts(attribute: Attribute, wanted: &[String], unwanted: &[String]) -> Condition {
    let strings = |texts: &[String]| texts.iter().map(|text| string(text)).collect();
    Condition { attribute, any_of: strings(wanted), none_of: strings(unwanted) }
}

fn blocks(attribute: Attribute, wanted: &[IpBlock], unwanted: &[IpBlock]) -> Condition {
    let blocks = |blocks: &[IpBlock]| blocks.iter().map(|block| Pattern::Block(block.0)).collect();
    Condition { attribute, any_of: blocks(wanted), none_of: blocks(unwanted) }
}

fn path_pattern(text: &str) -> Result<Pattern, String> {
    match PathTemplate::is_meant(text) {
        true => text.parse().map(Pattern::Template).map_err(|error| format!("{text:?}: {error}")),
        false => Ok(string(text)),
    }
}

fn string(text: &str) -> Pattern {
    match (text.strip_suffix('*'), text.strip_prefix('*')) {
        (Some(""), _) => Pattern::Presence,
        (_, Some(suffix)) => Pattern::Suffix(suffix.into()),
        (Some(prefix), _) => Pattern::Prefix(prefix.into()),
        (None, None) => Pattern::Exact(text.into()),
    }
}

/// `name` of the policy's namespace, or `namespace/name`.
fn service_account(namespace: &str, text: &str) -> Pattern {
    let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
    Pattern::ServiceAccount(ServiceAccountMatch { namespace: namespace.into(), service_account: name.into() })
}
