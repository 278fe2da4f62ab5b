//! Tests of `dns::names`.

use super::*;

/// Host, or `host<stripped` where a search domain was taken off.
fn candidates(asked: &str) -> Vec<String> {
    let text = |candidate: Candidate| match candidate.stripped {
        None => candidate.host,
        Some(stripped) if stripped == candidate.host => format!("<{stripped}"),
        Some(stripped) => format!("{}<{stripped}", candidate.host),
    };
    Domain::new("cluster.local").candidates(asked, "ns1").into_iter().map(text).collect()
}

#[test]
fn dns_04_names_are_made_whole_by_the_number_of_their_labels() {
    for (asked, expected) in [
        ("a", &["a", "a.ns1.svc.cluster.local"][..]),
        ("a.b", &["a.b", "a.b.svc.cluster.local", "a.b.ns1.svc.cluster.local"]),
        ("a.b.c", &["a.b.c", "a.b.c.svc.cluster.local"]),
        ("a.b.svc", &["a.b.svc", "a.b.svc.cluster.local", "a.b.svc.svc.cluster.local"]),
        ("p.a.b.svc", &["p.a.b.svc", "p.a.b.svc.cluster.local"]),
        ("p.a.b.c", &["p.a.b.c"]),
        ("q.p.a.b.svc", &["q.p.a.b.svc"]),
        ("a.b.c.d.e.f", &["a.b.c.d.e.f"]),
    ] {
        assert_eq!(candidates(asked), expected, "{asked}");
    }
}

#[test]
fn dns_02_03_a_bare_name_is_one_of_the_own_namespace_and_of_no_other() {
    assert!(candidates("reviews").contains(&"reviews.ns1.svc.cluster.local".to_owned()));
    assert!(!candidates("reviews").iter().any(|host| host.contains("ns2")));
}

#[test]
fn dns_18_the_search_list_is_that_of_the_pod_s_namespace() {
    assert_eq!(
        candidates("www.example.com.ns1.svc.cluster.local"),
        [
            "www.example.com.ns1.svc.cluster.local",
            "<www.example.com",
            "www.example.com.svc.cluster.local<www.example.com",
            "<www.example.com.ns1",
            "<www.example.com.ns1.svc",
        ]
    );
    let foreign = candidates("www.example.com.istio-system.svc.cluster.local");
    assert!(!foreign.contains(&"<www.example.com".to_owned()), "{foreign:?}");
}

#[test]
fn dns_05_what_is_stripped_is_made_whole_too() {
    assert!(candidates("a.ns2.ns1.svc.cluster.local").contains(&"a.ns2.svc.cluster.local<a.ns2".to_owned()));
    assert!(candidates("a.ns2.cluster.local").contains(&"a.ns2.svc.cluster.local<a.ns2".to_owned()));
    // Never down to nothing.
    assert_eq!(candidates("cluster.local")[0], "cluster.local");
    assert!(!candidates("svc.cluster.local").contains(&"<".to_owned()));
}

#[test]
fn no_host_is_tried_twice() {
    for asked in ["a.ns1.svc.cluster.local", "a", "a.svc", "a.ns1.ns1.svc.cluster.local"] {
        let mut all: Vec<_> =
            Domain::new("cluster.local").candidates(asked, "ns1").into_iter().map(|it| it.host).collect();
        let before = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), before, "{asked}");
    }
}

#[test]
fn dns_09_wildcards_are_tried_from_the_longest() {
    assert_eq!(wildcards("a.b.c.d").collect::<Vec<_>>(), ["*.b.c.d", "*.c.d", "*.d"]);
    assert_eq!(wildcards("a").count(), 0);
}

#[test]
fn dns_15_services_are_known_by_the_end_of_their_host() {
    let domain = Domain::new("Cluster.Local.");
    assert!(domain.has_service("a.b.svc.cluster.local"));
    for other in ["a.b.svc.other.local", "svc.cluster.local", "a.bsvc.cluster.local", "example.com"] {
        assert!(!domain.has_service(other), "{other}");
    }
}

#[test]
fn hosts_are_lower_case_and_of_known_characters() {
    for (name, host) in [
        ("WWW.Example.COM.", Some("www.example.com")),
        ("_http._tcp.a-b.", Some("_http._tcp.a-b")),
        (".", None),
        ("*.example.com.", None),
        ("a\\.b.example.com.", None),
    ] {
        assert_eq!(find_host(&Name::from_ascii(name).unwrap()).as_deref(), host, "{name}");
    }
    assert_eq!(find_host(&Name::from_labels([&b"a b"[..], b"c"]).unwrap()), None);
}
