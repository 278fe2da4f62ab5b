//! Authorization spelled out the slow way, straight from the words of wire.md
//! §5.5, and random policies and connections on which both have to agree.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use mesh_model::{
    Action, Clause, Identity, Match, Policy, PolicyKey, Rule, Scope, ServiceAccountMatch, StringMatch,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::{Connection, Denial, authorize, matches};

fn text_matches(wanted: &StringMatch, actual: &str) -> bool {
    if actual.is_empty() {
        return false;
    }
    match wanted {
        StringMatch::Exact(text) => actual == text.to_string(),
        StringMatch::Prefix(text) => {
            actual.chars().zip(text.chars()).filter(|(a, b)| a == b).count() == text.len()
        }
        StringMatch::Suffix(text) => {
            let ends = actual.chars().rev().zip(text.chars().rev());
            ends.filter(|(a, b)| a == b).count() == text.len()
        }
        StringMatch::Presence => true,
    }
}

/// The leading bits are the same.
fn block_contains(block: &IpNet, ip: IpAddr) -> bool {
    let bits = |ip: IpAddr| -> Vec<bool> {
        let bytes = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
    };
    let (block_bits, ip_bits) = (bits(block.network()), bits(ip));
    let length = usize::from(block.prefix_len());
    block_bits.len() == ip_bits.len() && block_bits[..length] == ip_bits[..length]
}

/// For each populated field, whether it is satisfied.
fn judged_fields(wanted: &Match, connection: &Connection<'_>) -> Vec<bool> {
    let identity = connection.source_identity;
    let principal = identity.map(|identity| identity.to_string().replacen("spiffe://", "", 1));
    let namespace = identity.map(|identity| identity.namespace.to_string());
    let account = |wanted: &ServiceAccountMatch| {
        identity.is_some_and(|identity| {
            identity.to_string().ends_with(&format!("/ns/{}/sa/{}", wanted.namespace, wanted.service_account))
        })
    };
    let text = |actual: &Option<String>, wanted: &StringMatch| {
        actual.as_ref().is_some_and(|actual| text_matches(wanted, actual))
    };
    let mut judged = Vec::new();
    let mut judge = |hits: Vec<bool>, wanted: bool| {
        if !hits.is_empty() {
            judged.push(hits.contains(&true) == wanted);
        }
    };
    for (wanted, fields) in [
        (true, [&wanted.namespaces, &wanted.principals]),
        (false, [&wanted.not_namespaces, &wanted.not_principals]),
    ] {
        judge(fields[0].iter().map(|w| text(&namespace, w)).collect(), wanted);
        judge(fields[1].iter().map(|w| text(&principal, w)).collect(), wanted);
    }
    judge(wanted.service_accounts.iter().map(account).collect(), true);
    judge(wanted.not_service_accounts.iter().map(account).collect(), false);
    let (source, destination) = (connection.source, connection.destination);
    judge(wanted.source_ips.iter().map(|block| block_contains(block, source)).collect(), true);
    judge(wanted.not_source_ips.iter().map(|block| block_contains(block, source)).collect(), false);
    judge(wanted.destination_ips.iter().map(|block| block_contains(block, destination.ip())).collect(), true);
    judge(
        wanted.not_destination_ips.iter().map(|block| block_contains(block, destination.ip())).collect(),
        false,
    );
    judge(wanted.destination_ports.iter().map(|port| *port == destination.port()).collect(), true);
    judge(wanted.not_destination_ports.iter().map(|port| *port == destination.port()).collect(), false);
    judged
}

fn policy_matches(policy: &Policy, connection: &Connection<'_>) -> bool {
    let mut any_rule = false;
    for rule in &policy.rules {
        let mut every_clause = true;
        for clause in &rule.clauses {
            let mut any_match = clause.matches.is_empty();
            for wanted in &clause.matches {
                let fields = judged_fields(wanted, connection);
                any_match |= !fields.is_empty() && !fields.contains(&false);
            }
            every_clause &= any_match;
        }
        any_rule |= every_clause;
    }
    any_rule
}

fn decision(policies: &[Policy], connection: &Connection<'_>) -> Result<(), Denial> {
    let real: Vec<&Policy> = policies.iter().filter(|policy| !policy.dry_run).collect();
    let of = |action: Action| real.iter().filter(move |policy| policy.action == action);
    if let Some(policy) = of(Action::Deny).find(|policy| policy_matches(policy, connection)) {
        return Err(Denial::ExplicitlyDenied(policy.key.clone()));
    }
    match of(Action::Allow).count() {
        0 => Ok(()),
        _ if of(Action::Allow).any(|policy| policy_matches(policy, connection)) => Ok(()),
        _ => Err(Denial::NotAllowed),
    }
}

fn identities() -> impl Strategy<Value = Identity> {
    (select(vec!["td", "te"]), select(vec!["", "a", "ab", "b"]), select(vec!["", "x", "xy"]))
        .prop_map(|(domain, namespace, account)| Identity::new(domain, namespace, account))
}

fn ips() -> impl Strategy<Value = IpAddr> {
    select(vec!["10.0.0.1", "10.0.0.2", "10.1.0.1", "::1", "fd00::1"]).prop_map(|ip| ip.parse().unwrap())
}

fn strings() -> impl Strategy<Value = Vec<StringMatch>> {
    let texts = select(vec!["", "a", "b", "ab", "td/ns/a/sa/x", "td/ns/", "/sa/xy"]);
    let string = (texts, 0..4).prop_map(|(text, form)| match form {
        0 => StringMatch::Exact(text.into()),
        1 => StringMatch::Prefix(text.into()),
        2 => StringMatch::Suffix(text.into()),
        _ => StringMatch::Presence,
    });
    prop_oneof![2 => Just(Vec::new()), 1 => vec(string, 1..3)]
}

fn accounts() -> impl Strategy<Value = Vec<ServiceAccountMatch>> {
    let account = identities().prop_map(|who| ServiceAccountMatch {
        namespace: who.namespace,
        service_account: who.service_account,
    });
    prop_oneof![3 => Just(Vec::new()), 1 => vec(account, 1..3)]
}

fn blocks() -> impl Strategy<Value = Vec<IpNet>> {
    let block = (ips(), select(vec![0, 8, 16, 31, 32]))
        .prop_map(|(ip, length)| IpNet::new(ip, length).unwrap().trunc());
    prop_oneof![3 => Just(Vec::new()), 1 => vec(block, 1..3)]
}

fn ports() -> impl Strategy<Value = Vec<u16>> {
    prop_oneof![3 => Just(Vec::new()), 1 => vec(select(vec![80, 81]), 1..3)]
}

fn wanted() -> impl Strategy<Value = Match> {
    (
        (strings(), strings(), strings(), strings()),
        (accounts(), accounts()),
        (blocks(), blocks(), blocks(), blocks()),
        (ports(), ports()),
    )
        .prop_map(|(strings, accounts, blocks, ports)| Match {
            namespaces: strings.0,
            not_namespaces: strings.1,
            principals: strings.2,
            not_principals: strings.3,
            service_accounts: accounts.0,
            not_service_accounts: accounts.1,
            source_ips: blocks.0,
            not_source_ips: blocks.1,
            destination_ips: blocks.2,
            not_destination_ips: blocks.3,
            destination_ports: ports.0,
            not_destination_ports: ports.1,
        })
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let clause = vec(wanted(), 0..3).prop_map(|matches| Clause { matches });
    let rule = vec(clause, 0..3).prop_map(|clauses| Rule { clauses });
    let policy = (select(vec![Action::Allow, Action::Deny]), vec(rule, 0..3), any::<bool>());
    vec(policy, 0..4).prop_map(|policies| {
        let numbered = policies.into_iter().enumerate();
        numbered
            .map(|(number, (action, rules, dry_run))| Policy {
                key: PolicyKey::new("prod", number.to_string()),
                scope: Scope::Global,
                action,
                rules,
                dry_run,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn l4_04_07_agrees_with_the_reference(
        policies in policies(),
        who in option::of(identities()),
        (source, destination, port) in (ips(), ips(), select(vec![80, 81])),
    ) {
        let destination = SocketAddr::new(destination, port);
        let connection = Connection { source, source_identity: who.as_ref(), destination };
        for policy in &policies {
            prop_assert_eq!(matches(policy, &connection), policy_matches(policy, &connection), "{:?}", policy);
        }
        prop_assert_eq!(authorize(&policies, &connection).map(|_| ()), decision(&policies, &connection));
    }
}
