//! Who may ask what, both ways.
//!
//! What cannot be read here must not open what it was to close: a rule of a newer controller with something
//! unknown in it takes nothing where it allows, and everything where it denies.

use std::sync::Arc;

use mesh_proto::adit::waypoint::v1 as proto;

use super::DecodeError;
use super::condition;
use super::field::{at, each, named, optional, or_empty};
use super::http_match::header_name;
use crate::{PolicyAction, PolicyClause, PolicyKey, PolicyRule, RequestPolicy, Security, TokenRule};

/// As large as a set of keys may be, in bytes.
const MOST_KEYS: usize = 1 << 20;

pub(super) fn decode(wire: Option<proto::Security>) -> Result<Security, DecodeError> {
    let wire = wire.unwrap_or_default();
    Ok(Security {
        policies: each("policies", wire.policies, decode_policy)?,
        token_rules: each("token_rules", wire.token_rules, decode_token_rule)?,
    })
}

pub(super) fn encode(security: &Security) -> Option<proto::Security> {
    (!security.is_empty()).then(|| proto::Security {
        policies: security.policies.iter().map(encode_policy).collect(),
        token_rules: security.token_rules.iter().map(encode_token_rule).collect(),
    })
}

fn decode_policy(wire: proto::RequestPolicy) -> Result<RequestPolicy, DecodeError> {
    let key = PolicyKey::new(wire.namespace, named("name", &wire.name)?);
    let everything = || vec![PolicyRule::default()];
    let (action, rules) = match proto::PolicyAction::try_from(wire.action) {
        Ok(proto::PolicyAction::Allow) => {
            // Of no use if something in it is unknown: it might allow too much.
            let read = wire.rules.into_iter().filter_map(|rule| decode_rule(rule).ok());
            (PolicyAction::Allow, read.collect())
        }
        Ok(proto::PolicyAction::Deny) => (PolicyAction::Deny, or_everything(wire.rules)),
        Ok(proto::PolicyAction::Audit) => (PolicyAction::Audit, or_everything(wire.rules)),
        Ok(proto::PolicyAction::Custom) => {
            (PolicyAction::Custom(wire.provider.into()), or_everything(wire.rules))
        }
        Err(_) => (PolicyAction::Deny, everything()),
    };
    Ok(RequestPolicy { key, action, dry_run: wire.dry_run, rules })
}

/// A rule with something unknown in it may have been meant for anything.
fn or_everything(rules: Vec<proto::PolicyRule>) -> Vec<PolicyRule> {
    rules.into_iter().map(|rule| decode_rule(rule).unwrap_or_default()).collect()
}

fn decode_rule(wire: proto::PolicyRule) -> Result<PolicyRule, DecodeError> {
    let clauses = each("clauses", wire.clauses, |clause| {
        let alternatives = each("alternatives", clause.alternatives, |wanted| {
            each("conditions", wanted.conditions, condition::decode)
        })?;
        Ok(PolicyClause { alternatives })
    })?;
    Ok(PolicyRule { clauses })
}

fn encode_policy(policy: &RequestPolicy) -> proto::RequestPolicy {
    let (action, provider) = match &policy.action {
        PolicyAction::Allow => (proto::PolicyAction::Allow, String::new()),
        PolicyAction::Deny => (proto::PolicyAction::Deny, String::new()),
        PolicyAction::Audit => (proto::PolicyAction::Audit, String::new()),
        PolicyAction::Custom(provider) => (proto::PolicyAction::Custom, provider.to_string()),
    };
    proto::RequestPolicy {
        namespace: policy.key.namespace.to_string(),
        name: policy.key.name.to_string(),
        action: action.into(),
        dry_run: policy.dry_run,
        rules: policy.rules.iter().map(encode_rule).collect(),
        provider,
    }
}

fn encode_rule(rule: &PolicyRule) -> proto::PolicyRule {
    let wanted = |conditions: &Vec<crate::Condition>| proto::PolicyMatch {
        conditions: conditions.iter().map(condition::encode).collect(),
    };
    let clause = |clause: &PolicyClause| proto::PolicyClause {
        alternatives: clause.alternatives.iter().map(wanted).collect(),
    };
    proto::PolicyRule { clauses: rule.clauses.iter().map(clause).collect() }
}

fn decode_token_rule(wire: proto::TokenRule) -> Result<TokenRule, DecodeError> {
    if wire.keys.len() > MOST_KEYS {
        let reason = format!("{} bytes, at most {MOST_KEYS} are taken", wire.keys.len());
        return Err(DecodeError::new(reason).within("keys"));
    }
    let header = |field: &str, name: &str| header_name(field, name).map(Arc::from);
    Ok(TokenRule {
        issuer: named("issuer", &wire.issuer)?,
        audiences: texts(wire.audiences),
        keys: wire.keys.into(),
        from_headers: each("from_headers", wire.from_headers, |it| {
            Ok((header("name", &it.name)?, it.prefix.into()))
        })?,
        from_params: texts(wire.from_params),
        from_cookies: texts(wire.from_cookies),
        forward_original: wire.forward_original,
        payload_header: optional(&wire.payload_header)
            .map(|name| at("payload_header", header("", &name)))
            .transpose()?,
        claim_headers: each("claim_headers", wire.claim_headers, |it| {
            Ok((header("header", &it.header)?, named("claim", &it.claim)?))
        })?,
        space_delimited_claims: texts(wire.space_delimited_claims),
    })
}

fn encode_token_rule(rule: &TokenRule) -> proto::TokenRule {
    let strings = |texts: &[Arc<str>]| texts.iter().map(ToString::to_string).collect();
    let from_header = |(name, prefix): &(Arc<str>, Arc<str>)| proto::TokenHeader {
        name: name.to_string(),
        prefix: prefix.to_string(),
    };
    let claim_header = |(header, claim): &(Arc<str>, Arc<str>)| proto::ClaimHeader {
        header: header.to_string(),
        claim: claim.to_string(),
    };
    proto::TokenRule {
        issuer: rule.issuer.to_string(),
        audiences: strings(&rule.audiences),
        keys: rule.keys.to_string(),
        from_headers: rule.from_headers.iter().map(from_header).collect(),
        from_params: strings(&rule.from_params),
        from_cookies: strings(&rule.from_cookies),
        forward_original: rule.forward_original,
        payload_header: or_empty(rule.payload_header.as_ref()),
        claim_headers: rule.claim_headers.iter().map(claim_header).collect(),
        space_delimited_claims: strings(&rule.space_delimited_claims),
    }
}

fn texts(texts: Vec<String>) -> Vec<Arc<str>> {
    texts.into_iter().map(Arc::from).collect()
}

#[cfg(test)]
mod tests;
