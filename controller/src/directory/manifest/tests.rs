//! Tests of `directory::manifest`.

use super::*;

fn read_text(text: &str) -> Manifest {
    read(&Arc::new("f.yaml".into()), text)
}

fn keys(manifest: &Manifest) -> Vec<String> {
    manifest.objects.iter().map(|found| found.key.to_string()).collect()
}

/// One line a problem: severity, then as people see it.
fn problems(manifest: &Manifest) -> Vec<String> {
    manifest.problems.iter().map(|problem| format!("{:?} {problem}", problem.severity)).collect()
}

#[test]
fn documents_lists_and_json_are_read() {
    let text = "\
# a comment first
---
apiVersion: v1
kind: Namespace
metadata: {name: prod}
---
# nothing but a comment
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ServiceAccount
  metadata: {name: a}
- apiVersion: v1
  kind: Service
  metadata:
    name: b
    namespace: prod
  spec:
    ports: [{port: 80}]
    text: |
      --- this does not separate anything
---
apiVersion: v1
kind: ServiceAccountList
items:
- metadata: {name: c, namespace: x}
";
    let manifest = read_text(text);
    assert_eq!(
        keys(&manifest),
        ["Namespace prod", "ServiceAccount default/a", "Service prod/b", "ServiceAccount x/c"]
    );
    assert_eq!(
        problems(&manifest),
        ["Notice f.yaml:22: items[1].spec.text: Service has no such field; it is ignored"]
    );
    let lines: Vec<u64> = manifest.objects.iter().map(|found| found.line).collect();
    assert_eq!(lines, [3, 12, 15, 28]);

    let json =
        "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Namespace\",\n\t\"metadata\": {\"name\": \"prod\"}\n}\n";
    assert_eq!(keys(&read_text(json)), ["Namespace prod"]);
    let windows = "apiVersion: v1\r\nkind: Namespace\r\nmetadata: {name: a}\r\n---\r\napiVersion: v1\r\nkind: Namespace\r\nmetadata: {name: b}\r\n";
    assert_eq!(keys(&read_text(windows)), ["Namespace a", "Namespace b"]);
    let marked = "\u{feff}%YAML 1.2\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n...\n---\n";
    assert_eq!(keys(&read_text(marked)), ["Namespace a"]);
}

#[test]
fn what_is_broken_is_named_with_line_and_field() {
    let cases = [
        ("a: [1", "f.yaml:1: unclosed bracket '['"),
        ("x: 1\ny: 2\nx: 3\n", "f.yaml:3: duplicate mapping key: x not allowed here"),
        ("kind: Pod\n", "f.yaml:1: apiVersion or kind is missing or not a text; every object needs both"),
        ("- 1\n", "f.yaml:1: apiVersion or kind is missing or not a text; every object needs both"),
        ("some text", "f.yaml:1: apiVersion or kind is missing or not a text; every object needs both"),
        (
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  ports:\n  - port: http\n",
            "f.yaml:7: spec.ports[0].port: invalid type: string \"http\", expected i32",
        ),
        (
            "\n\n---\n\napiVersion: v1\nkind: Service\nmetadata:\n  name: 1\n",
            "f.yaml:8: metadata.name: invalid type: integer `1`, expected a string",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata:\n  labels: {}\n",
            "f.yaml:3: metadata.name: is missing; every object needs a name",
        ),
        (
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: a\nspec:\n  mtls:\n    mod: STRICT\n",
            "f.yaml:7: spec.mtls.mod: unknown field `mod`, expected `mode`",
        ),
        (
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items: []\n",
            "f.yaml:4: items[0]: a list inside a list",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  ports:\n  - port: 99999999999999999999\n",
            "f.yaml:7: spec.ports[0].port: invalid type: floating point `1e+20`, expected i32",
        ),
    ];
    for (text, expected) in cases {
        let manifest = read_text(text);
        assert_eq!(problems(&manifest), [format!("Broken {expected}")], "{text}");
        assert!(manifest.is_broken() && manifest.objects.is_empty());
    }
}

#[test]
fn kinds_that_are_not_used_are_skipped_without_breaking_the_file() {
    let text = "\
apiVersion: v1
kind: Secret
metadata: {name: a}
---
apiVersion: v1
kind: Pods
metadata: {name: b}
---
apiVersion: networking.istio.io/v7
kind: VirtualService
metadata: {name: c}
---
apiVersion: v1
kind: Namespace
metadata: {name: d}
";
    let manifest = read_text(text);
    assert_eq!(keys(&manifest), ["Namespace d"]);
    assert!(!manifest.is_broken());
    assert_eq!(
        problems(&manifest),
        [
            "Notice f.yaml:1: Secret (v1) has no effect here and is left out",
            "Skipped f.yaml:5: unknown kind \"Pods\" in \"v1\"; check both, upper and lower case matter",
            "Skipped f.yaml:9: VirtualService is not served as networking.istio.io/v7; use networking.istio.io/v1",
        ]
    );
}

#[test]
fn one_broken_document_does_not_hide_the_next() {
    let text = "a: [\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\nb: [\n";
    let manifest = read_text(text);
    assert_eq!((keys(&manifest), manifest.problems.len()), (vec!["Namespace a".to_owned()], 2));
    let many = "a: [\n---\n".repeat(1000);
    let manifest = read_text(&many);
    assert_eq!(manifest.problems.len(), MAX_PROBLEMS + 1);
    assert!(problems(&manifest)[MAX_PROBLEMS].ends_with("the rest of the file was not looked at"));
}

#[test]
fn bombs_are_defused_quickly() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let before = level - 1;
        laughs += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", "));
    }
    let anchors: String = (0..5000).map(|index| format!("k{index}: &k{index} v\n")).collect();
    let large = format!("a: \"{}\"\n", "x".repeat(MAX_DOCUMENT));
    let fits = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(MAX_DOCUMENT / 2), vec!["*a"; 500].join(","));
    let wide = format!("a: [{}]\n", "1,".repeat(300_000));
    let cases = [
        ("billion laughs", laughs),
        ("a document that is too large", large),
        ("aliases of a large text", fits),
        ("too many anchors", anchors),
        ("too many nodes", wide),
        ("deep flow", format!("a: {}\n", "[".repeat(100_000))),
        ("deep blocks", (0..2000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect()),
        ("merge keys of themselves", "a: &a\n  <<: *a\n".to_owned()),
    ];
    for (name, text) in cases {
        let start = std::time::Instant::now();
        let manifest = read_text(&text);
        assert!(manifest.is_broken(), "{name}");
        assert!(manifest.problems.iter().all(|problem| problem.message.len() < 300), "{name}");
        // Seconds on a busy machine; what explodes would take years.
        assert!(start.elapsed() < std::time::Duration::from_secs(30), "{name}: {:?}", start.elapsed());
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(---\n|kind: |apiVersion: v1\n|metadata|items|List|[ \\[\\]{}:&*<,a-z\n\"'|>!%-]){0,60}") {
        let manifest = read_text(&text);
        proptest::prop_assert!(manifest.problems.len() <= MAX_PROBLEMS + 1);
    }
}
