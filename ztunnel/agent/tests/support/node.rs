//! A node with an agent and pods on it, and the connections they make.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_net::addr::LocalAddress;
use mesh_net::socket::{
    PLAINTEXT_MARK, SocketOptions, listen_tcp, original_destination, original_plain_destination,
};
use mesh_testkit::node::{Pod, Running, Testnet};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use ztunnel_agent::enrolment::Rules;
use ztunnel_agent::{Config, Origin};

use super::fake_ztunnel::FakeZtunnel;

/// Where ztunnel takes plain connections.
const PLAINTEXT: u16 = 15006;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A node with an agent.
pub(crate) struct Node {
    pub(crate) net: Testnet,
    pub(crate) files: TempDir,
    agent: Option<Running<Result<()>>>,
}

impl Node {
    pub(crate) fn new() -> Result<Option<Self>> {
        let Some(net) = Testnet::new(1)? else { return Ok(None) };
        let mut node = Self { net, files: tempfile::tempdir()?, agent: None };
        fs::create_dir(node.files.path().join("pods"))?;
        node.start();
        Ok(Some(node))
    }

    pub(crate) fn start(&mut self) {
        let config = Config {
            origin: Origin::Directory {
                pods: self.files.path().join("pods"),
                results: self.files.path().join("results"),
            },
            zds_socket: self.socket(),
            health: Some("127.0.0.1:8000".parse().unwrap()),
            metrics: None,
            commands: None,
            rules: Rules::default(),
            grace: Duration::ZERO,
        };
        self.agent = Some(self.net.node(1).netns().spawn(|| ztunnel_agent::run(config, None)));
    }

    /// Ends the agent as a kill does, and returns once it is gone.
    pub(crate) async fn kill(&mut self) {
        let agent = self.agent.take().unwrap();
        assert!(agent.stop().await.is_none(), "it ran until it was killed");
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.files.path().join("zds.sock")
    }

    pub(crate) async fn ztunnel(&self) -> Result<FakeZtunnel> {
        FakeZtunnel::connect(&self.socket()).await
    }

    /// Tells the agent of a pod; `change` are the fields that matter.
    pub(crate) fn write(&self, uid: &str, netns: PathBuf, change: Value) -> Result<()> {
        let mut record = json!({
            "uid": uid, "name": format!("pod-{uid}"), "namespace": "shop", "netns": netns,
            "namespaceLabels": { "istio.io/dataplane-mode": "ambient" },
        });
        for (key, value) in change.as_object().context("fields")? {
            record[key] = value.clone();
        }
        let temporary = self.files.path().join("pods/.new");
        fs::write(&temporary, record.to_string())?;
        Ok(fs::rename(temporary, self.files.path().join(format!("pods/{uid}.json")))?)
    }

    pub(crate) fn result(&self, uid: &str) -> Option<Value> {
        let json = fs::read(self.files.path().join(format!("results/{uid}.json"))).ok()?;
        Some(serde_json::from_slice(&json).unwrap())
    }

    /// Waits for a result and returns its message.
    pub(crate) async fn wait_for(&self, uid: &str, redirection: &str) -> Result<String> {
        let found = async {
            loop {
                if let Some(result) = self.result(uid).filter(|result| result["redirection"] == redirection) {
                    return result["message"].as_str().unwrap_or_default().to_owned();
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        let found = timeout(DEADLINE, found).await;
        found.with_context(|| format!("pod {uid} is {:?}, expected {redirection}", self.result(uid)))
    }
}

/// All rules and marks-based routes of a pod, as `nft` and `ip` print them.
pub(crate) fn captured(pod: &Pod) -> Result<String> {
    let netns = pod.netns();
    let mut all = netns.output("nft", &["list", "ruleset"])?;
    for family in ["-4", "-6"] {
        let rules = netns.output("ip", &[family, "rule", "show"])?;
        all += &rules
            .lines()
            .filter(|line| line.contains("fwmark") || line.contains("iif lo"))
            .collect::<Vec<_>>()
            .join("\n");
        all += netns
            .output("ip", &[family, "route", "show", "table", "all"])?
            .lines()
            .filter(|line| line.contains("table 10"))
            .collect::<Vec<_>>()
            .join("\n")
            .as_str();
    }
    Ok(all)
}

/// A listener of ztunnel in a pod.
pub(crate) fn listen(pod: &Pod, port: u16) -> Result<TcpListener> {
    let address = SocketAddr::new("::".parse()?, port);
    let mut options = SocketOptions::default();
    if port == PLAINTEXT {
        options.mark = Some(PLAINTEXT_MARK);
    }
    let listener = pod.netns().namespace().run(|| listen_tcp(address, &options))?;
    Ok(TcpListener::from_std(listener)?)
}

/// Connects, and returns what the connection that arrives at `listener` wanted.
pub(crate) async fn wanted(listener: &TcpListener, from: &Pod, to: SocketAddr) -> Result<SocketAddr> {
    let (client, accepted) = tokio::join!(from.netns().connect(to), timeout(DEADLINE, listener.accept()));
    client.with_context(|| format!("connecting to {to}"))?;
    let (stream, _) = accepted??;
    let local = LocalAddress::new(stream.local_addr()?);
    Ok(match listener.local_addr()?.port() {
        PLAINTEXT => original_plain_destination(&stream, local, PLAINTEXT)?.0,
        port => original_destination(&stream, local, port)?.0,
    })
}

/// Sends a line through a connection to an echo server and expects it back.
pub(crate) async fn echoes(mut stream: tokio::net::TcpStream) -> Result<()> {
    stream.write_all(b"line\n").await?;
    let mut line = [0; 5];
    timeout(DEADLINE, stream.read_exact(&mut line)).await??;
    anyhow::ensure!(&line == b"line\n", "{line:?}");
    Ok(())
}

pub(crate) fn at(pod: &Pod, port: u16) -> [SocketAddr; 2] {
    [SocketAddr::new(pod.address(), port), SocketAddr::new(pod.address_v6(), port)]
}
