//! What policies mean, by the IDs of the behaviours, and against a slow reference.

mod calls;
mod fixtures;
mod reference;

use mesh_model::{Action, Clause, Match, PolicyKey, Rule, ServiceAccountMatch, StringMatch};

use super::*;
use fixtures::{allow, allow_by, connection, deny, identity, one_rule, port};

fn exact(text: &str) -> StringMatch {
    StringMatch::Exact(text.into())
}

/// Whether a policy of this one match says something about connections from `td/ns/prod/sa/web` and from nobody.
fn says(wanted: Match) -> (bool, bool) {
    let web = identity("td", "prod", "web");
    let policy = one_rule(wanted);
    (matches(&policy, &connection(Some(&web))), matches(&policy, &connection(None)))
}

#[test]
fn l4_04_deny_beats_allow_and_allow_is_needed_where_there_is_one() {
    let (hit, miss) = (port(8080), port(9090));
    let denied = |name: &str| Err(Denial::ExplicitlyDenied(PolicyKey::new("prod", name)));
    for (policies, expected) in [
        (vec![], Ok(())),
        (vec![deny("no", &miss)], Ok(())),
        (vec![deny("no", &hit)], denied("no")),
        (vec![allow("yes", &hit)], Ok(())),
        (vec![allow("yes", &miss)], Err(Denial::NotAllowed)),
        (vec![allow("other", &miss), allow("yes", &hit)], Ok(())),
        (vec![allow("yes", &hit), deny("no", &hit)], denied("no")),
        (vec![allow("yes", &hit), deny("no", &miss)], Ok(())),
        (vec![allow("yes", &miss), deny("no", &miss)], Err(Denial::NotAllowed)),
    ] {
        assert_eq!(authorize(&policies, &connection(None)).map(|_: Permit| ()), expected, "{policies:?}");
    }
}

#[test]
fn l4_05_denials_read_as_operators_know_them() {
    let denial = Denial::ExplicitlyDenied(PolicyKey::new("prod", "no"));
    assert_eq!(denial.to_string(), "explicitly denied by: prod/no");
    assert_eq!(Denial::NotAllowed.to_string(), "allow policies exist, but none allowed");
}

#[test]
fn l4_07_alternatives_and_conjunctions_nest_four_deep() {
    let (hit, miss) = (port(8080), port(9090));
    let policy = |rules: &[&[&[&Match]]]| {
        let clause = |matches: &&[&Match]| Clause { matches: matches.iter().copied().cloned().collect() };
        let rule = |clauses: &&[&[&Match]]| Rule { clauses: clauses.iter().map(clause).collect() };
        allow_by(rules.iter().map(rule).collect())
    };
    for (rules, expected) in [
        (&[&[&[&miss][..]][..], &[&[&hit]]][..], true), // rules are alternatives
        (&[&[&[&hit], &[&miss]]], false),               // clauses are not
        (&[&[&[&hit], &[&hit]]], true),
        (&[&[&[&miss, &hit]]], true), // matches are
        (&[&[&[&miss, &miss]]], false),
    ] {
        assert_eq!(matches(&policy(rules), &connection(None)), expected, "{rules:?}");
    }
}

#[test]
fn l4_07_fields_have_to_match_together_and_values_are_alternatives() {
    let both = Match { namespaces: vec![exact("prod")], ..port(8080) };
    assert_eq!(says(both), (true, false), "fields go together");
    let wrong_port = Match { namespaces: vec![exact("prod")], ..port(9090) };
    assert_eq!(says(wrong_port), (false, false));
    let values = Match { destination_ports: vec![9090, 8080], ..Match::default() };
    assert_eq!(says(values), (true, true), "values are alternatives");
    let negated = Match { not_destination_ports: vec![9090, 8080], ..Match::default() };
    assert_eq!(says(negated), (false, false), "none of the negated values may match");
    let pair = Match { not_destination_ports: vec![9090], ..port(8080) };
    assert_eq!(says(pair), (true, true), "a field and its negation go together");
}

#[test]
fn l4_08_what_is_empty_matches_or_not() {
    let any = connection(None);
    let none = allow_by(vec![]);
    assert!(!matches(&none, &any), "no rules: never");
    let rule = |clauses| allow_by(vec![Rule { clauses }]);
    assert!(matches(&rule(vec![]), &any), "a rule without clauses: always");
    assert!(matches(&rule(vec![Clause::default()]), &any), "an empty clause: always");
    let empty_match = Clause { matches: vec![Match::default()] };
    assert!(!matches(&rule(vec![empty_match.clone()]), &any), "nothing but an empty match: never");
    let with_another = Clause { matches: vec![Match::default(), port(8080)] };
    assert!(matches(&rule(vec![with_another]), &any), "an empty match is passed over");
    assert!(!matches(&rule(vec![Clause::default(), empty_match]), &any), "clauses go together");
}

#[test]
fn l4_06_a_policy_without_rules_denies_everything_by_allowing_nothing() {
    let empty = allow_by(vec![]);
    assert_eq!(authorize([&empty], &connection(None)), Err(Denial::NotAllowed));
}

#[test]
fn l4_09_strings_match_exactly_by_prefix_by_suffix_or_by_being_there() {
    let web = identity("td", "prod", "web");
    let nameless = identity("td", "", "");
    for (wanted, hit) in [
        (exact("prod"), true),
        (exact("pro"), false),
        (exact(""), false),
        (StringMatch::Prefix("pr".into()), true),
        (StringMatch::Prefix("".into()), true),
        (StringMatch::Prefix("od".into()), false),
        (StringMatch::Suffix("od".into()), true),
        (StringMatch::Suffix("pr".into()), false),
        (StringMatch::Presence, true),
    ] {
        let policy = one_rule(Match { namespaces: vec![wanted.clone()], ..Match::default() });
        assert_eq!(matches(&policy, &connection(Some(&web))), hit, "{wanted:?}");
        assert!(!matches(&policy, &connection(Some(&nameless))), "{wanted:?} of an empty text");
    }
}

#[test]
fn l4_10_principals_have_no_scheme_and_nobody_has_none() {
    let principals = |texts: &[&str]| texts.iter().map(|text| exact(text)).collect::<Vec<_>>();
    let wanted = |texts: &[&str]| Match { principals: principals(texts), ..Match::default() };
    let unwanted = |texts: &[&str]| Match { not_principals: principals(texts), ..Match::default() };
    assert_eq!(says(wanted(&["td/ns/prod/sa/web"])), (true, false));
    assert_eq!(says(wanted(&["spiffe://td/ns/prod/sa/web"])), (false, false));
    assert_eq!(says(wanted(&["other/ns/prod/sa/web"])), (false, false));
    assert_eq!(says(unwanted(&["td/ns/prod/sa/web"])), (false, true));
    assert_eq!(says(unwanted(&["td/ns/prod/sa/other"])), (true, true));
    let presence = vec![StringMatch::Presence];
    assert_eq!(says(Match { principals: presence.clone(), ..Match::default() }), (true, false));
    assert_eq!(says(Match { not_principals: presence.clone(), ..Match::default() }), (false, true));
    assert_eq!(says(Match { not_namespaces: presence, ..Match::default() }), (false, true));
}

#[test]
fn l4_11_addresses_match_by_block_and_the_port_is_the_workloads() {
    let blocks = |text: &str| vec![text.parse().unwrap()];
    for (wanted, hit) in [
        (Match { source_ips: blocks("10.0.0.0/24"), ..Match::default() }, true),
        (Match { source_ips: blocks("10.0.0.1/32"), ..Match::default() }, true),
        (Match { source_ips: blocks("10.0.1.0/24"), ..Match::default() }, false),
        (Match { source_ips: blocks("::/0"), ..Match::default() }, false),
        (Match { not_source_ips: blocks("10.0.0.0/24"), ..Match::default() }, false),
        (Match { not_source_ips: blocks("10.0.1.0/24"), ..Match::default() }, true),
        (Match { destination_ips: blocks("10.0.0.2/31"), ..Match::default() }, true),
        (Match { destination_ips: blocks("10.0.0.1/32"), ..Match::default() }, false),
        (Match { not_destination_ips: blocks("10.0.0.2/32"), ..Match::default() }, false),
        (port(8080), true),
        (port(15008), false),
    ] {
        assert_eq!(says(wanted.clone()), (hit, hit), "{wanted:?}");
    }
}

#[test]
fn l4_12_service_accounts_match_in_any_trust_domain() {
    let account = |namespace: &str, name: &str| {
        vec![ServiceAccountMatch { namespace: namespace.into(), service_account: name.into() }]
    };
    let wanted = one_rule(Match { service_accounts: account("prod", "web"), ..Match::default() });
    for (domain, namespace, name, hit) in [
        ("td", "prod", "web", true),
        ("other", "prod", "web", true),
        ("td", "test", "web", false),
        ("td", "prod", "db", false),
    ] {
        let who = identity(domain, namespace, name);
        assert_eq!(matches(&wanted, &connection(Some(&who))), hit, "{who}");
    }
    assert_eq!(
        says(Match { not_service_accounts: account("prod", "web"), ..Match::default() }),
        (false, true)
    );
}

#[test]
fn l4_13_dry_run_policies_change_nothing_and_say_what_they_would() {
    let dry = |policy: mesh_model::Policy| mesh_model::Policy { dry_run: true, ..policy };
    let (hit, miss) = (port(8080), port(9090));
    for (policies, said) in [
        (vec![dry(deny("no", &hit))], vec!["dry-run: deny policy match"]),
        (vec![dry(deny("no", &miss))], vec![]),
        (vec![dry(allow("yes", &hit))], vec!["dry-run: allow policy match"]),
        (vec![dry(allow("yes", &miss))], vec!["dry-run: no allow policies match"]),
        (vec![dry(allow("other", &miss)), dry(allow("yes", &hit))], vec!["dry-run: allow policy match"]),
        (vec![allow("yes", &hit), deny("no", &miss)], vec![]),
    ] {
        let lines: Vec<String> =
            dry_run(&policies, &connection(None)).iter().map(ToString::to_string).collect();
        assert_eq!(lines, said, "{policies:?}");
        assert!(authorize(&policies, &connection(None)).is_ok(), "{policies:?}");
    }
    let both = [dry(allow("yes", &hit)), allow("real", &miss)];
    assert_eq!(authorize(&both, &connection(None)), Err(Denial::NotAllowed), "and allow nothing");
    let named = dry_run(&both, &connection(None));
    assert_eq!(named[0].policy(), Some(&PolicyKey::new("prod", "yes")));
    assert_eq!(both[0].action, Action::Allow);
}
