//! Tests of `directory::layers`.

use controller_translate::Object;

use super::super::manifest;
use super::*;

fn stamp(tag: u64) -> Stamp {
    Stamp::for_test(tag)
}

fn file(layer: Layer, path: &str) -> FileKey {
    FileKey { layer, directory: 0, path: Arc::new(path.into()) }
}

impl Layers {
    fn write(&mut self, layer: Layer, path: &str, tag: u64, text: &str) {
        let file = file(layer, path);
        let manifest = manifest::read(&file.path, text);
        self.put(file, stamp(tag), manifest);
    }

    /// What changed, one word an event.
    fn changes(&mut self) -> Vec<String> {
        let (events, _) = self.settle();
        let word = |event: &Event| match event {
            Event::Applied(object) => format!("+{}", object.key()),
            Event::Deleted(key) => format!("-{key}"),
            Event::InitDone => "done".to_owned(),
            Event::Obstacle(..) | Event::Keys(..) | Event::Certificates(..) => {
                panic!("a directory deploys and fetches nothing")
            }
        };
        events.iter().map(word).collect()
    }

    fn problems(&mut self) -> Vec<String> {
        self.settle().1.iter().map(|problem| format!("{:?} {problem}", problem.severity)).collect()
    }
}

fn service(name: &str, port: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n---\n"
    )
}

#[test]
fn a_broken_edit_leaves_the_last_good_state() {
    let mut layers = Layers::default();
    layers.write(Layer::Manifests, "f.yaml", 1, &(service("a", "80") + &service("b", "80")));
    assert_eq!(layers.changes(), ["+Service default/a", "+Service default/b"]);
    assert!(layers.knows(&file(Layer::Manifests, "f.yaml"), &stamp(1)));
    assert!(!layers.knows(&file(Layer::Manifests, "f.yaml"), &stamp(2)));

    layers.write(Layer::Manifests, "f.yaml", 2, &(service("a", "81") + &service("b", "many")));
    assert_eq!(layers.changes(), [""; 0]);
    let expected = "Broken f.yaml:9: spec.ports[0].port: invalid type: string \"many\", expected i32";
    assert_eq!(layers.problems(), [expected]);

    layers.write(Layer::Manifests, "f.yaml", 3, &service("a", "81"));
    assert_eq!(layers.changes(), ["-Service default/b", "+Service default/a"]);
    assert_eq!(layers.problems(), [""; 0]);

    layers.retain(Layer::Manifests, 0, |_| false);
    assert_eq!(layers.changes(), ["-Service default/a"]);
}

#[test]
fn a_file_that_never_was_whole_gives_what_can_be_read() {
    let mut layers = Layers::default();
    layers.write(Layer::Manifests, "f.yaml", 1, &(service("a", "80") + "x: [\n"));
    assert_eq!(layers.changes(), ["+Service default/a"]);
    layers.write(Layer::Manifests, "f.yaml", 2, &(service("b", "80") + "x: [\n"));
    assert_eq!(layers.changes(), ["-Service default/a", "+Service default/b"]);
}

#[test]
fn of_two_with_one_name_the_first_file_counts_and_both_are_named() {
    let mut layers = Layers::default();
    layers.write(Layer::Manifests, "b.yaml", 1, &service("a", "80"));
    assert_eq!(layers.changes(), ["+Service default/a"]);
    layers.write(Layer::Manifests, "c.yaml", 1, &(service("x", "1") + &service("a", "90")));
    assert_eq!(layers.changes(), ["+Service default/x"]);
    let message = "Skipped c.yaml:6: metadata.name: Service default/a is in b.yaml:1 too, which counts; remove one or rename it";
    assert_eq!(layers.problems(), [message]);
    // The same name written twice in one file.
    layers.write(Layer::Manifests, "b.yaml", 2, &(service("a", "80") + &service("a", "70")));
    assert_eq!(layers.changes(), [""; 0]);
    assert_eq!(layers.problems().len(), 2);
    // The first goes: the second takes its place, without a gap.
    layers.retain(Layer::Manifests, 0, |path| path != Path::new("b.yaml"));
    assert_eq!(layers.changes(), ["+Service default/a"]);
    assert_eq!(layers.problems(), [""; 0]);
}

#[test]
fn facts_lie_over_manifests() {
    let mut layers = Layers::default();
    layers.write(Layer::Manifests, "a.yaml", 1, &service("a", "80"));
    let fact = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: 10.0.0.1}\n";
    layers.write(Layer::Runtime, "a.yaml", 1, fact);
    let (events, problems) = layers.settle();
    let [Event::Applied(object)] = events.as_slice() else { panic!("{events:?}") };
    let Object::Service(service_object) = &**object else { panic!("{object:?}") };
    let spec = service_object.spec.as_ref().unwrap();
    assert_eq!((spec.cluster_ip.as_deref(), spec.ports.as_ref().unwrap()[0].port), (Some("10.0.0.1"), 80));
    assert!(problems.is_empty(), "{problems:?}");
    // The same again, as other files: nothing changes.
    layers.write(Layer::Manifests, "a.yaml", 2, &service("a", "80"));
    layers.write(Layer::Runtime, "a.yaml", 2, fact);
    assert_eq!(layers.changes(), [""; 0]);
    // Facts stand alone too, and go alone.
    layers.write(Layer::Runtime, "b.yaml", 1, &fact.replace("name: a", "name: b"));
    assert_eq!(layers.changes(), ["+Service default/b"]);
    layers.retain(Layer::Runtime, 0, |_| false);
    assert_eq!(layers.changes(), ["-Service default/b", "+Service default/a"]);
}
