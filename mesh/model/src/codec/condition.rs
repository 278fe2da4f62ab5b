//! One condition of a policy, both ways.

use std::sync::Arc;

use mesh_proto::adit::waypoint::v1 as proto;
use proto::pattern::Pattern as Wire;

use super::DecodeError;
use super::field::{at, cidr, each, ip_bytes, known, named, port, required};
use super::http_match::header_name;
use crate::{Attribute, Condition, InvalidTemplate, Pattern, ServiceAccountMatch};

pub(super) fn decode(wire: proto::PolicyCondition) -> Result<Condition, DecodeError> {
    use proto::Attribute as A;
    let attribute = match known("attribute", wire.attribute)? {
        A::Unknown => return Err(DecodeError::new("missing").within("attribute")),
        A::SourcePrincipal => Attribute::SourcePrincipal,
        A::SourceNamespace => Attribute::SourceNamespace,
        A::SourceServiceAccount => Attribute::SourceServiceAccount,
        A::SourceTrustDomain => Attribute::SourceTrustDomain,
        A::SourceIp => Attribute::SourceIp,
        A::RemoteIp => Attribute::RemoteIp,
        A::DestinationIp => Attribute::DestinationIp,
        A::DestinationPort => Attribute::DestinationPort,
        A::ConnectionSni => Attribute::ConnectionSni,
        A::RequestHost => Attribute::Host,
        A::RequestMethod => Attribute::Method,
        A::RequestPath => Attribute::Path,
        A::RequestHeader => Attribute::Header(header_name("name", &wire.name)?.into()),
        A::TokenPrincipal => Attribute::TokenPrincipal,
        A::TokenAudience => Attribute::TokenAudience,
        A::TokenPresenter => Attribute::TokenPresenter,
        A::TokenClaim if wire.path.is_empty() => return Err(DecodeError::new("empty").within("path")),
        A::TokenClaim => Attribute::TokenClaim(wire.path.into_iter().map(Arc::from).collect()),
    };
    Ok(Condition {
        attribute,
        any_of: each("any_of", wire.any_of, decode_pattern)?,
        none_of: each("none_of", wire.none_of, decode_pattern)?,
    })
}

pub(super) fn encode(condition: &Condition) -> proto::PolicyCondition {
    use proto::Attribute as A;
    let (mut name, mut path) = (String::new(), Vec::new());
    let attribute = match &condition.attribute {
        Attribute::SourcePrincipal => A::SourcePrincipal,
        Attribute::SourceNamespace => A::SourceNamespace,
        Attribute::SourceServiceAccount => A::SourceServiceAccount,
        Attribute::SourceTrustDomain => A::SourceTrustDomain,
        Attribute::SourceIp => A::SourceIp,
        Attribute::RemoteIp => A::RemoteIp,
        Attribute::DestinationIp => A::DestinationIp,
        Attribute::DestinationPort => A::DestinationPort,
        Attribute::ConnectionSni => A::ConnectionSni,
        Attribute::Host => A::RequestHost,
        Attribute::Method => A::RequestMethod,
        Attribute::Path => A::RequestPath,
        Attribute::Header(header) => {
            name = header.to_string();
            A::RequestHeader
        }
        Attribute::TokenPrincipal => A::TokenPrincipal,
        Attribute::TokenAudience => A::TokenAudience,
        Attribute::TokenPresenter => A::TokenPresenter,
        Attribute::TokenClaim(claim) => {
            path = claim.iter().map(ToString::to_string).collect();
            A::TokenClaim
        }
    };
    proto::PolicyCondition {
        attribute: attribute.into(),
        name,
        path,
        any_of: condition.any_of.iter().map(encode_pattern).collect(),
        none_of: condition.none_of.iter().map(encode_pattern).collect(),
    }
}

pub(super) fn decode_pattern(wire: proto::Pattern) -> Result<Pattern, DecodeError> {
    Ok(match required("pattern", wire.pattern)? {
        Wire::Exact(text) => Pattern::Exact(text.into()),
        Wire::Prefix(text) => Pattern::Prefix(text.into()),
        Wire::Suffix(text) => Pattern::Suffix(text.into()),
        Wire::Presence(true) => Pattern::Presence,
        Wire::Presence(false) => return Err(DecodeError::new("false has no meaning").within("presence")),
        Wire::Template(text) => {
            let template = text.parse();
            let reason = |error: InvalidTemplate| DecodeError::new(format!("{text:?}: {error}"));
            at("template", template.map_err(reason)).map(Pattern::Template)?
        }
        Wire::Block(block) => at("block", cidr(&block.address, block.length)).map(Pattern::Block)?,
        Wire::Port(number) => Pattern::Port(port("port", number)?),
        Wire::ServiceAccount(account) => {
            let (namespace, name) = account.split_once('/').unwrap_or(("", &account));
            let service_account = named("service_account", name)?;
            Pattern::ServiceAccount(ServiceAccountMatch { namespace: namespace.into(), service_account })
        }
    })
}

pub(super) fn encode_pattern(pattern: &Pattern) -> proto::Pattern {
    let pattern = match pattern {
        Pattern::Exact(text) => Wire::Exact(text.to_string()),
        Pattern::Prefix(text) => Wire::Prefix(text.to_string()),
        Pattern::Suffix(text) => Wire::Suffix(text.to_string()),
        Pattern::Presence => Wire::Presence(true),
        Pattern::Template(template) => Wire::Template(template.to_string()),
        Pattern::Block(block) => Wire::Block(proto::Subnet {
            address: ip_bytes(block.network()),
            length: block.prefix_len().into(),
        }),
        Pattern::Port(number) => Wire::Port((*number).into()),
        Pattern::ServiceAccount(account) => {
            Wire::ServiceAccount(format!("{}/{}", account.namespace, account.service_account))
        }
    };
    proto::Pattern { pattern: Some(pattern) }
}
