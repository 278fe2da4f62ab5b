//! The agent's side of ZDS, against ztunnels that answer well, badly and not at all.
#![allow(clippy::unwrap_used)]

#[path = "support/fake_ztunnel.rs"]
mod fake_ztunnel;

use std::time::Duration;

use anyhow::Result;
use fake_ztunnel::{FakeZtunnel, Payload};
use mesh_net::namespace::Namespace;
use mesh_proto::istio::workload::zds::WorkloadInfo;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use ztunnel_agent::zds::{self, Answer, Proxies, Workload};

struct Agent {
    directory: TempDir,
    proxies: Proxies,
    answers: mpsc::Receiver<Answer>,
    serving: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Agent {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = zds::listen(&directory.path().join("zds.sock")).unwrap();
        let (answer, answers) = mpsc::channel(16);
        let proxies = Proxies::new(answer);
        let serving = tokio::spawn(listener.serve(proxies.clone()));
        Self { directory, proxies, answers, serving }
    }

    async fn ztunnel(&self) -> Result<FakeZtunnel> {
        FakeZtunnel::connect(&self.directory.path().join("zds.sock")).await
    }

    async fn answer(&mut self) -> Answer {
        timeout(Duration::from_secs(20), self.answers.recv()).await.unwrap().unwrap()
    }
}

fn workload(name: &str) -> Workload {
    let info =
        WorkloadInfo { name: name.into(), namespace: "shop".into(), service_account: "account".into() };
    Workload { info, namespace: Namespace::current().unwrap() }
}

fn taken(uid: &str) -> Answer {
    Answer { uid: uid.to_owned(), namespace: Namespace::current().unwrap(), result: Ok(()) }
}

#[tokio::test]
async fn cni_08_a_snapshot_and_then_what_changes() -> Result<()> {
    let mut agent = Agent::start();
    assert!(agent.proxies.add("1", workload("one")).is_err(), "nobody is connected");
    agent.proxies.keep("1");
    agent.proxies.keep("2");
    agent.proxies.complete();

    let ztunnel = agent.ztunnel().await?;
    ztunnel.hello().await?;
    let first = ztunnel.next().await?;
    let Payload::Add(add) = first.payload else { panic!("{:?}", first.payload) };
    assert_eq!((add.uid.as_str(), add.workload_info), ("1", Some(workload("one").info)));
    let passed = Namespace::from_fd(first.descriptor.unwrap())?;
    assert_eq!(passed.inode(), Namespace::current()?.inode());
    ztunnel.ack("").await?;
    assert_eq!(agent.answer().await, taken("1"));
    let second = ztunnel.next().await?;
    assert!(matches!(second.payload, Payload::Keep(ref keep) if keep.uid == "2"));
    assert!(second.descriptor.is_none());
    ztunnel.ack("never heard of it").await?;
    assert!(matches!(ztunnel.next().await?.payload, Payload::SnapshotSent(_)));
    ztunnel.ack("").await?;

    agent.proxies.add("3", workload("three"))?;
    assert_eq!(ztunnel.take_add().await?.0, "3");
    assert_eq!(agent.answer().await, taken("3"));
    agent.proxies.delete("1");
    agent.proxies.delete("unknown");
    agent.proxies.delete("2");
    assert_eq!(ztunnel.take_delete().await?, "1");
    assert_eq!(ztunnel.take_delete().await?, "2");
    Ok(())
}

#[tokio::test]
async fn cni_11_a_refusal_is_passed_on() -> Result<()> {
    let mut agent = Agent::start();
    agent.proxies.complete();
    let ztunnel = agent.ztunnel().await?;
    ztunnel.take_snapshot().await?;
    agent.proxies.add("1", workload("one"))?;
    ztunnel.next().await?;
    ztunnel.ack("port in use").await?;
    let refusal = Answer {
        uid: "1".into(),
        namespace: Namespace::current().unwrap(),
        result: Err("port in use".into()),
    };
    assert_eq!(agent.answer().await, refusal);
    agent.proxies.add("1", workload("one"))?;
    ztunnel.take_add().await?;
    assert_eq!(agent.answer().await, taken("1"));
    Ok(())
}

#[tokio::test]
async fn cni_12_a_snapshot_waits_until_every_pod_is_known() -> Result<()> {
    let agent = Agent::start();
    let ztunnel = agent.ztunnel().await?;
    ztunnel.hello().await?;
    let early = timeout(Duration::from_millis(300), ztunnel.receive()).await;
    assert!(early.is_err(), "nothing is said while pods may be missing");
    assert!(agent.proxies.add("1", workload("one")).is_err());
    agent.proxies.complete();
    assert_eq!(ztunnel.take_add().await?.0, "1");
    assert!(matches!(ztunnel.next().await?.payload, Payload::SnapshotSent(_)));
    Ok(())
}

#[tokio::test]
async fn cni_18_the_newest_gets_pods_all_let_them_go_and_the_one_before_takes_over() -> Result<()> {
    let agent = Agent::start();
    let _ = agent.proxies.add("1", workload("one"));
    agent.proxies.complete();
    let old = agent.ztunnel().await?;
    assert_eq!(old.take_snapshot().await?, ["1"]);
    let new = agent.ztunnel().await?;
    assert_eq!(new.take_snapshot().await?, ["1"]);

    agent.proxies.add("2", workload("two"))?;
    assert_eq!(new.take_add().await?.0, "2");
    agent.proxies.delete("1");
    assert_eq!(new.take_delete().await?, "1");
    // The first thing the old one hears is the pod that leaves, not the one that came.
    assert_eq!(old.take_delete().await?, "1");

    drop(new);
    assert_eq!(old.take_add().await?.0, "2", "what went to the one that is gone");
    agent.proxies.add("3", workload("three"))?;
    assert_eq!(old.take_add().await?.0, "3");
    Ok(())
}

#[tokio::test]
async fn sec_13_who_does_not_keep_to_the_protocol_is_cut_off() -> Result<()> {
    let agent = Agent::start();
    agent.proxies.complete();
    for hello in [&[0x08, 0x02][..], &[0xff; 10], &[0x08; 1025]] {
        let ztunnel = agent.ztunnel().await?;
        ztunnel.send(hello).await?;
        assert!(ztunnel.receive().await?.is_none(), "hello {hello:?}");
    }
    let talkative = agent.ztunnel().await?;
    talkative.take_snapshot().await?;
    talkative.ack("").await?;
    assert!(talkative.receive().await?.is_none());

    let good = agent.ztunnel().await?;
    good.take_snapshot().await?;
    agent.proxies.add("1", workload("one"))?;
    assert_eq!(good.take_add().await?.0, "1");
    Ok(())
}

#[tokio::test]
async fn cni_08_a_silent_ztunnel_is_cut_off_after_five_seconds() -> Result<()> {
    let agent = Agent::start();
    agent.proxies.complete();
    let begin = Instant::now();
    let without_hello = agent.ztunnel().await?;
    let without_answer = agent.ztunnel().await?;
    without_answer.hello().await?;
    without_answer.next().await?;
    assert!(without_hello.receive().await?.is_none());
    assert!(without_answer.receive().await?.is_none());
    assert!(begin.elapsed() >= Duration::from_secs(5), "{:?}", begin.elapsed());
    Ok(())
}

#[tokio::test]
async fn up_14_a_new_agent_listens_in_place_of_the_old() -> Result<()> {
    let agent = Agent::start();
    let path = agent.directory.path().join("zds.sock");
    let listener = zds::listen(&path)?;
    let (answer, _answers) = mpsc::channel(1);
    let proxies = Proxies::new(answer);
    proxies.complete();
    let _serving = tokio::spawn(listener.serve(proxies));
    assert!(FakeZtunnel::connect(&path).await?.take_snapshot().await?.is_empty());
    Ok(())
}
