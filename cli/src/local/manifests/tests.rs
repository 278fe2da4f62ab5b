//! Files of manifests.

use super::*;

fn parsed(text: &str) -> Loaded {
    parse(Path::new("x.yaml"), text, "prod")
}

#[test]
fn objects_are_split_and_put_into_their_namespace() {
    let loaded = parsed(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: prod}\n---\n\
         apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n---\n\
         apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, namespace: dev}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {A: b}\n",
    );
    assert_eq!(loaded.errors, Vec::<String>::new());
    let names: Vec<_> = loaded.objects.iter().map(|(file, it)| (file.as_str(), it.name.as_str())).collect();
    assert_eq!(
        names,
        [
            ("configmap.prod.c.yaml", "ConfigMap prod/c"),
            ("namespace..prod.yaml", "Namespace prod"),
            ("serviceaccount.dev.a.yaml", "ServiceAccount dev/a"),
            ("serviceaccount.prod.a.yaml", "ServiceAccount prod/a"),
        ]
    );
    assert!(loaded.objects["serviceaccount.prod.a.yaml"].text.contains("namespace: prod"));
    assert!(loaded.objects["configmap.prod.c.yaml"].is_data);
}

#[test]
fn a_file_may_hold_thousands_of_objects() {
    let text: String = (0..3000)
        .map(|n| format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: a{n}}}\n---\n"))
        .collect();
    let loaded = parsed(&text);
    assert_eq!((loaded.errors, loaded.objects.len()), (vec![], 3000));
}

#[test]
fn a_broken_file_yields_nothing_but_the_place_of_the_mistake() {
    let good = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n";
    for (bad, reason) in [
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: x}]}\n",
            "x.yaml:8: spec.ports[0].port",
        ),
        ("kind: [\n", "x.yaml:"),
        ("apiVersion: v1\nkind: Servise\nmetadata: {name: s}\n", "unknown kind"),
        ("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: ../a}\n", "metadata.name"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ../a}\n", "metadata.name"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: ../a}\n", "letters, digits"),
        ("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\n", "twice"),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: '%'}\n",
            "Secret prod/s: data.a: is not base64",
        ),
    ] {
        let loaded = parsed(&format!("{good}---\n{bad}"));
        assert!(loaded.errors.iter().any(|error| error.contains(reason)), "{reason}: {:?}", loaded.errors);
        assert!(loaded.objects.is_empty(), "{reason}");
    }
}

#[test]
fn kinds_without_effect_are_noticed_but_configmaps_are_not() {
    let loaded = parsed(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: a}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
    );
    assert_eq!(loaded.notices.len(), 1, "{:?}", loaded.notices);
    assert!(loaded.notices[0].contains("StatefulSet"));
    assert_eq!(loaded.objects.len(), 1);
}

#[test]
fn the_mesh_configuration_is_for_the_controller_and_other_configmaps_are_not() {
    let map = |namespace: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: {namespace}}}\ndata: {{mesh: ''}}\n"
        )
    };
    let loaded = parsed(&format!("{}---\n{}", map("istio-system"), map("prod")));
    let is_data: Vec<_> = loaded.objects.iter().map(|(file, it)| (file.as_str(), it.is_data)).collect();
    assert_eq!(is_data, [("configmap.istio-system.istio.yaml", false), ("configmap.prod.istio.yaml", true)]);
}

#[test]
fn a_directory_stands_for_its_manifests() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["b.yaml", "a.yml", "c.json", ".d.yaml", "e.txt"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    let files = files_of(directory.path()).unwrap();
    let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.yml", "b.yaml", "c.json"]);
    assert_eq!(files_of(Path::new("/no/such.yaml")).unwrap(), [Path::new("/no/such.yaml")]);
    assert!(load(Path::new("/no/such.yaml"), "default").errors[0].contains("/no/such.yaml"));
}
