//! Files that are followed, in directories of the test's own.

use tempfile::TempDir;

use super::*;

struct Scene {
    home: TempDir,
    source: TempDir,
    mesh: Mesh,
    followed: Followed,
}

impl Scene {
    fn new() -> Self {
        let (home, source) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mesh = Mesh::at(home.path());
        for directory in [mesh.manifests(), mesh.data()] {
            files::make_directory(&directory).unwrap();
        }
        let followed = Followed::new(vec![source.path().to_owned()], "prod".to_owned());
        Scene { home, source, mesh, followed }
    }

    /// Writes a file that has had the time to be written to its end.
    fn write(&self, name: &str, text: &str) {
        let path = self.source.path().join(name);
        fs::write(&path, text).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - SETTLING * 10 - Duration::from_millis(text.len() as u64))
            .unwrap();
    }

    fn look(&mut self) -> Vec<String> {
        self.followed.look(&self.mesh, &Console::new());
        let mut names = Vec::new();
        for directory in [self.mesh.manifests(), self.mesh.data()] {
            for entry in fs::read_dir(directory).unwrap() {
                names.push(entry.unwrap().file_name().into_string().unwrap());
            }
        }
        names.sort();
        names
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.source.path().join(name)).unwrap();
    }
}

fn account(name: &str) -> String {
    format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}}}\n---\n")
}

#[test]
fn objects_come_and_go_with_their_files() {
    let mut scene = Scene::new();
    scene.write("a.yaml", &(account("one") + &account("two")));
    scene.write("b.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n");
    assert_eq!(
        scene.look(),
        ["configmap.prod.c.yaml", "serviceaccount.prod.one.yaml", "serviceaccount.prod.two.yaml"]
    );
    scene.write("a.yaml", &account("two"));
    assert_eq!(scene.look(), ["configmap.prod.c.yaml", "serviceaccount.prod.two.yaml"]);
    scene.remove("b.yaml");
    assert_eq!(scene.look(), ["serviceaccount.prod.two.yaml"]);
}

#[test]
fn a_broken_edit_changes_nothing() {
    let mut scene = Scene::new();
    scene.write("a.yaml", &account("one"));
    scene.look();
    scene.write("a.yaml", "kind: [");
    assert_eq!(scene.look(), ["serviceaccount.prod.one.yaml"]);
    scene.write("a.yaml", &account("other"));
    assert_eq!(scene.look(), ["serviceaccount.prod.other.yaml"]);
}

#[test]
fn a_file_is_fresh_for_a_moment() {
    let now = SystemTime::now();
    let age = |age: Duration| is_fresh((now - age, 0), now);
    assert!(age(Duration::ZERO) && age(SETTLING / 2));
    assert!(!age(SETTLING));
    assert!(!is_fresh((now + SETTLING, 0), now), "a clock that was wrong must not delay a file forever");
}

#[test]
fn the_first_file_to_name_an_object_counts_until_it_lets_go() {
    let mut scene = Scene::new();
    scene.write("a.yaml", &account("one"));
    scene.write("b.yaml", &account("one"));
    assert_eq!(scene.look(), ["serviceaccount.prod.one.yaml"]);
    scene.remove("b.yaml");
    assert_eq!(scene.look(), ["serviceaccount.prod.one.yaml"], "it is still in a.yaml");
}

#[test]
fn what_was_applied_meanwhile_stays_until_the_file_says_otherwise() {
    let mut scene = Scene::new();
    scene.write("a.yaml", &(account("one") + &account("two")));
    scene.look();
    let applied = scene.mesh.manifests().join("serviceaccount.prod.one.yaml");
    fs::write(&applied, "applied").unwrap();
    scene.write("a.yaml", &(account("one") + &account("two") + &account("three")));
    scene.look();
    assert_eq!(fs::read_to_string(&applied).unwrap(), "applied");
    assert!(scene.home.path().join("test/manifests/serviceaccount.prod.three.yaml").exists());
}
