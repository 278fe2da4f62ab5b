//! Tests of `directory`.

use std::fs;
use std::time::{Duration, Instant};

use controller_translate::{Kind, Object};
use tempfile::TempDir;

use super::*;
use crate::source::QUEUE;

const PATIENCE: Duration = Duration::from_secs(10);

/// A running source over two directories.
struct Watched {
    manifests: TempDir,
    runtime: TempDir,
    events: mpsc::Receiver<Event>,
    problems: Problems,
}

impl Watched {
    /// Starts after `prepare` and takes everything up to the end of the start.
    async fn start(prepare: impl FnOnce(&Path)) -> (Self, Vec<String>) {
        let (manifests, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        prepare(manifests.path());
        let (source, problems) =
            Directory::new(vec![manifests.path().to_owned()], vec![runtime.path().to_owned()]);
        let (sender, events) = mpsc::channel(QUEUE);
        tokio::spawn(source.run(sender));
        let mut watched = Watched { manifests, runtime, events, problems };
        let mut start = Vec::new();
        loop {
            match watched.next().await.as_str() {
                "done" => return (watched, start),
                event => start.push(event.to_owned()),
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.recv())
            .await
            .expect("something should have happened")
            .unwrap()
    }

    async fn next(&mut self) -> String {
        match self.next_event().await {
            Event::Applied(object) => format!("+{}", object.key()),
            Event::Deleted(key) => format!("-{key}"),
            Event::InitDone => "done".to_owned(),
            Event::Obstacle(..) | Event::Keys(..) | Event::Certificates(..) => {
                panic!("a directory deploys and fetches nothing")
            }
        }
    }

    async fn problem(&mut self, text: &str) {
        let found =
            self.problems.wait_for(|problems| problems.iter().any(|it| it.to_string().contains(text)));
        if tokio::time::timeout(PATIENCE, found).await.is_err() {
            panic!("no problem {text:?} among {:?}", self.problems.borrow());
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.manifests.path().join(name), text).unwrap();
    }
}

fn namespace(name: &str, label: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{x: \"{label}\"}}}}\n---\n")
}

#[tokio::test]
async fn every_way_to_change_a_directory_is_noticed() {
    let (mut watched, start) = Watched::start(|root| {
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("a.yaml"), namespace("a", "1")).unwrap();
        fs::write(
            root.join("sub/b.json"),
            r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"b"}}"#,
        )
        .unwrap();
        fs::write(root.join("notes.txt"), "no manifest").unwrap();
        fs::write(root.join(".hidden.yaml"), namespace("hidden", "1")).unwrap();
    })
    .await;
    assert_eq!(start, ["+Namespace a", "+Namespace b"]);
    // Written in place.
    watched.write("a.yaml", &namespace("a", "2"));
    assert_eq!(watched.next().await, "+Namespace a");
    // Replaced by a rename, as most editors do.
    watched.write(".a.new", &namespace("a", "3"));
    fs::rename(watched.manifests.path().join(".a.new"), watched.manifests.path().join("a.yaml")).unwrap();
    assert_eq!(watched.next().await, "+Namespace a");
    // The same size at the same time of the clock's tick, twice in a row.
    watched.write("a.yaml", &namespace("a", "4"));
    watched.write("a.yaml", &namespace("a", "5"));
    let labels = loop {
        let Event::Applied(object) = watched.next_event().await else { panic!("nothing was deleted") };
        let labels = object.metadata().labels.clone().unwrap();
        if labels["x"] == "5" {
            break labels;
        }
    };
    assert_eq!(labels.len(), 1);
    // A new directory, and a file in it.
    let deep = watched.manifests.path().join("x/y");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("c.yml"), namespace("c", "1")).unwrap();
    assert_eq!(watched.next().await, "+Namespace c");
    fs::write(deep.join("d.yml"), namespace("d", "1")).unwrap();
    assert_eq!(watched.next().await, "+Namespace d");
    // Moved to another name: the object stays.
    fs::rename(deep.join("d.yml"), watched.manifests.path().join("e.yaml")).unwrap();
    fs::remove_file(deep.join("c.yml")).unwrap();
    assert_eq!(watched.next().await, "-Namespace c");
    fs::remove_dir_all(watched.manifests.path().join("sub")).unwrap();
    assert_eq!(watched.next().await, "-Namespace b");
    assert!(watched.problems.borrow().is_empty(), "{:?}", watched.problems.borrow());
}

#[tokio::test]
async fn an_edit_takes_effect_within_200_ms() {
    let (mut watched, _) = Watched::start(|_| {}).await;
    let mut fastest = PATIENCE;
    for round in 0..5 {
        let start = Instant::now();
        watched.write("a.yaml", &namespace("a", &round.to_string()));
        assert_eq!(watched.next().await, "+Namespace a");
        fastest = fastest.min(start.elapsed());
    }
    // The fastest: a busy machine says nothing about us.
    assert!(fastest < Duration::from_millis(200), "{fastest:?}");
}

#[tokio::test]
async fn a_broken_edit_is_reported_and_the_last_good_state_stays() {
    let (mut watched, start) =
        Watched::start(|root| fs::write(root.join("a.yaml"), namespace("a", "1")).unwrap()).await;
    assert_eq!(start, ["+Namespace a"]);
    watched.write("a.yaml", &namespace("a", "2").replace("name: a", "name: [a]"));
    watched.problem("a.yaml:3: metadata.name: invalid type: sequence, expected a string").await;
    watched.write("b.yaml", &namespace("b", "1"));
    assert_eq!(watched.next().await, "+Namespace b", "nothing happened to a");
    watched.write("a.yaml", &namespace("a", "3"));
    assert_eq!(watched.next().await, "+Namespace a");
    assert!(watched.problems.borrow().is_empty(), "{:?}", watched.problems.borrow());
}

#[tokio::test]
async fn files_that_cannot_be_manifests_are_named_and_harm_nobody() {
    let (mut watched, start) = Watched::start(|root| {
        fs::write(root.join("large.yaml"), vec![b'#'; 10 << 20]).unwrap();
        fs::write(root.join("latin.yaml"), b"apiVersion: v1\nkind: \xe9\n").unwrap();
        fs::create_dir(root.join("directory.yaml")).unwrap();
        std::os::unix::fs::symlink("/nowhere", root.join("broken.yaml")).unwrap();
        std::os::unix::fs::symlink(root, root.join("loop")).unwrap();
        nix::unistd::mkfifo(&root.join("pipe.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(root.join("good.yaml"), namespace("a", "1")).unwrap();
    })
    .await;
    assert_eq!(start, ["+Namespace a"]);
    watched.problem("large.yaml: larger than 8 MiB").await;
    watched.problem("latin.yaml: not UTF-8 in line 2").await;
    assert_eq!(watched.problems.borrow().len(), 2, "{:?}", watched.problems.borrow());
}

#[tokio::test]
async fn links_are_followed_to_files_as_mounted_config_maps_have_them() {
    let (mut watched, start) = Watched::start(|root| {
        for version in ["..1", "..2"] {
            fs::create_dir(root.join(version)).unwrap();
            fs::write(root.join(version).join("a.yaml"), namespace("a", version)).unwrap();
        }
        std::os::unix::fs::symlink("..1", root.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    })
    .await;
    assert_eq!(start, ["+Namespace a"]);
    let root = watched.manifests.path();
    std::os::unix::fs::symlink("..2", root.join("..new")).unwrap();
    fs::rename(root.join("..new"), root.join("..data")).unwrap();
    assert_eq!(watched.next().await, "+Namespace a");
}

#[tokio::test]
async fn a_directory_that_vanishes_takes_nothing_with_it() {
    let (mut watched, start) =
        Watched::start(|root| fs::write(root.join("a.yaml"), namespace("a", "1")).unwrap()).await;
    assert_eq!(start, ["+Namespace a"]);
    let (root, aside) = (watched.manifests.path().to_owned(), watched.runtime.path().join(".aside"));
    fs::rename(&root, &aside).unwrap();
    watched.problem("No such file or directory").await;
    fs::rename(&aside, &root).unwrap();
    watched.write("b.yaml", &namespace("b", "1"));
    assert_eq!(watched.next().await, "+Namespace b");
}

#[tokio::test]
async fn facts_of_the_running_mesh_are_merged_in() {
    let (mut watched, _) = Watched::start(|root| {
        let service =
            "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: p}\nspec: {ports: [{port: 80}]}\n";
        fs::write(root.join("a.yaml"), service).unwrap();
    })
    .await;
    let directory = watched.runtime.path().join("services");
    fs::create_dir(&directory).unwrap();
    let fact =
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: p}\nspec: {clusterIP: 10.96.0.1}\n";
    fs::write(directory.join("p.a.yaml"), fact).unwrap();
    let Event::Applied(object) = watched.next_event().await else { panic!("nothing was deleted") };
    assert_eq!(object.kind(), Kind::Service);
    let Object::Service(service) = *object else { panic!("{object:?}") };
    let spec = service.spec.unwrap();
    assert_eq!((spec.cluster_ip.as_deref(), spec.ports.unwrap().len()), (Some("10.96.0.1"), 1));
}

#[tokio::test]
async fn five_thousand_objects_are_read_at_once_and_single_edits_stay_cheap() {
    let (mut watched, start) = Watched::start(|root| {
        for index in 0..500 {
            let text: String = (0..10).map(|inner| namespace(&format!("n{index}-{inner}"), "1")).collect();
            fs::write(root.join(format!("{index}.yaml")), text).unwrap();
        }
    })
    .await;
    assert_eq!(start.len(), 5000);
    let started = Instant::now();
    watched.write(
        "0.yaml",
        &(0..10)
            .map(|inner| namespace(&format!("n0-{inner}"), if inner == 3 { "2" } else { "1" }))
            .collect::<String>(),
    );
    assert_eq!(watched.next().await, "+Namespace n0-3", "what is the same in the file is not sent again");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}
