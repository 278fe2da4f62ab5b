//! Small policies, and a connection from 10.0.0.1 to 10.0.0.2:8080.

use mesh_model::{Action, Clause, Identity, Match, Policy, PolicyKey, Rule, Scope};

use crate::Connection;

pub(super) fn identity(domain: &str, namespace: &str, account: &str) -> Identity {
    Identity::new(domain, namespace, account)
}

pub(super) fn connection(source_identity: Option<&Identity>) -> Connection<'_> {
    Connection {
        source: "10.0.0.1".parse().unwrap(),
        source_identity,
        destination: "10.0.0.2:8080".parse().unwrap(),
    }
}

pub(super) fn port(port: u16) -> Match {
    Match { destination_ports: vec![port], ..Match::default() }
}

pub(super) fn one_rule(wanted: Match) -> Policy {
    allow("p", &wanted)
}

pub(super) fn allow(name: &str, wanted: &Match) -> Policy {
    let clause = Clause { matches: vec![wanted.clone()] };
    Policy {
        key: PolicyKey::new("prod", name),
        scope: Scope::Namespace,
        action: Action::Allow,
        rules: vec![Rule { clauses: vec![clause] }],
        dry_run: false,
    }
}

pub(super) fn deny(name: &str, wanted: &Match) -> Policy {
    Policy { action: Action::Deny, ..allow(name, wanted) }
}

pub(super) fn allow_by(rules: Vec<Rule>) -> Policy {
    Policy { rules, ..allow("p", &Match::default()) }
}
