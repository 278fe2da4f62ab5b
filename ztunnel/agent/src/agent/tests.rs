//! Tests of `agent`: what is made of ztunnel's answers, and what an agent says when the mesh leaves.

use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::pod;
use crate::results::Files;

/// A network namespace of its own; none where that is not allowed.
fn namespace() -> Option<Namespace> {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET).ok()?;
        Namespace::current().ok()
    };
    // The thread, and with it what it has changed, is gone afterwards.
    std::thread::spawn(make).join().unwrap()
}

fn agent(directory: &tempfile::TempDir) -> Agent {
    let (answer, _) = mpsc::channel(1);
    Agent::new(Parts {
        rules: Rules::default(),
        proxies: Proxies::new(answer),
        results: Results::Files(Files::open(directory.path().to_owned()).unwrap()),
        metrics: Metrics::new(),
        probed: false,
        grace: Duration::ZERO,
    })
    .unwrap()
}

fn enrolment() -> Enrolment {
    let record = serde_json::json!({
        "uid": "1", "name": "web", "namespace": "shop", "netns": "/run/netns/web",
        "labels": { "istio.io/dataplane-mode": "ambient" },
    });
    let pod = pod::parse(record.to_string().as_bytes()).unwrap();
    enrolment::decide(&pod, &Rules::default()).unwrap()
}

#[test]
fn cni_10_an_answer_about_an_earlier_namespace_of_a_pod_says_nothing_of_the_new_one() {
    let (Some(old), Some(new)) = (namespace(), namespace()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut agent = agent(&directory);
    let answer =
        |namespace: &Namespace, result| Answer { uid: "1".into(), namespace: namespace.clone(), result };
    agent.actual.insert("1".into(), Actual::Enrolled(enrolment(), new.inode()));
    agent.namespaces.insert("1".into(), new.clone());
    agent.take(answer(&old, Ok(())));
    assert_eq!(agent.results.find("1"), None, "ztunnel has not answered for the new one");
    agent.take(answer(&old, Err("gone".into())));
    assert_eq!(agent.results.find("1"), None);
    assert!(agent.refused.is_empty());
    agent.take(answer(&new, Ok(())));
    assert_eq!(agent.results.find("1"), Some(Redirection::Enabled));
    agent.take(answer(&old, Err("gone".into())));
    assert_eq!(agent.results.find("1"), Some(Redirection::Enabled));
}
