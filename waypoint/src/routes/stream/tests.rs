//! Rules in, verdicts out.

use mesh_model::Forward;

use super::*;

fn rule(name: &str, matches: Vec<StreamMatch>) -> Arc<StreamRule> {
    let rule = mesh_model::StreamRule { name: name.into(), matches, forward: Forward::default() };
    Arc::new(StreamRule::compile(&rule, &NamespacedHostname::new("shop", "db.shop.svc.cluster.local")))
}

fn names(hosts: &[&str]) -> StreamMatch {
    let sni_hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    StreamMatch { sni_hosts, ..StreamMatch::default() }
}

fn from(namespace: &str) -> StreamMatch {
    StreamMatch { source_namespace: Some(namespace.into()), ..StreamMatch::default() }
}

/// The rule that takes a connection, or how none does.
fn verdict(rules: &[Arc<StreamRule>], namespace: &str, asked: Asked<'_>) -> String {
    let stream = Stream {
        source: [10, 1, 0, 7].into(),
        source_namespace: namespace,
        destination: [10, 96, 0, 1].into(),
        service_port: 443,
        asked,
    };
    match judge(rules, stream) {
        StreamVerdict::Rule(rule) => rule.name.to_string(),
        StreamVerdict::Ungoverned => "ungoverned".to_owned(),
        StreamVerdict::NameNeeded => "name needed".to_owned(),
        StreamVerdict::NoMatch => "no match".to_owned(),
    }
}

#[test]
fn l7_17_the_first_rule_that_takes_it_and_its_name_only_where_it_counts() {
    use Asked::{Name, NotRead, Nothing};
    let any = || rule("any", Vec::new());
    let named = || rule("named", vec![names(&["a.example.com", "*.b.example.com"])]);
    let clients = || rule("clients", vec![from("clients")]);
    let named_clients =
        || rule("named clients", vec![StreamMatch { sni_hosts: names(&["a"]).sni_hosts, ..from("clients") }]);
    for (rules, namespace, asked, expected) in [
        (vec![], "shop", NotRead, "ungoverned"),
        (vec![any()], "shop", NotRead, "any"),
        // Whoever may be the first to speak is not asked where the answer means nothing.
        (vec![any(), named()], "shop", NotRead, "any"),
        (vec![clients(), named()], "clients", NotRead, "clients"),
        (vec![named_clients(), any()], "shop", NotRead, "any"),
        (vec![named_clients(), any()], "clients", NotRead, "name needed"),
        (vec![named(), any()], "shop", NotRead, "name needed"),
        (vec![named(), any()], "shop", Name("a.example.com"), "named"),
        (vec![named(), any()], "shop", Name("x.b.example.com"), "named"),
        (vec![named(), any()], "shop", Name("b.example.com"), "any"),
        (vec![named(), any()], "shop", Nothing, "any"),
        (vec![named()], "shop", Name("c.example.com"), "no match"),
        (vec![named()], "shop", Nothing, "no match"),
        (vec![clients()], "shop", NotRead, "no match"),
        // One alternative is enough.
        (vec![rule("two", vec![names(&["a"]), from("shop")])], "shop", NotRead, "two"),
        (vec![rule("two", vec![names(&["a"]), from("clients")])], "shop", NotRead, "name needed"),
    ] {
        let shown: Vec<_> = rules.iter().map(|rule| rule.name.to_string()).collect();
        assert_eq!(verdict(&rules, namespace, asked), expected, "{shown:?} {namespace} {asked:?}");
    }
}

#[test]
fn addresses_count_as_blocks() {
    for (source, destination, expected) in [
        ("10.1.0.0/16", "10.96.0.0/12", "rule"),
        ("10.2.0.0/16", "10.96.0.0/12", "no match"),
        ("10.1.0.7/32", "10.97.0.0/16", "no match"),
        ("::/0", "10.96.0.1/32", "no match"),
    ] {
        let matched = StreamMatch {
            source_subnets: vec![source.parse().unwrap()],
            destination_subnets: vec![destination.parse().unwrap()],
            ..StreamMatch::default()
        };
        let rules = [rule("rule", vec![matched])];
        assert_eq!(verdict(&rules, "shop", Asked::NotRead), expected, "{source} {destination}");
    }
}
