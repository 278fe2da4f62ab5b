//! Two nodes with a ztunnel each, a controller that serves both, and pods to be
//! put on them, captured or not.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mesh_model::{Identity, SmallMap, TunnelProtocol, Workload};
use mesh_net::socket::{SocketOptions, listen_tcp};
use mesh_proto::istio::workload::zds::WorkloadInfo;
use mesh_testkit::authority::FakeCa;
use mesh_testkit::controller::{Publish, TestController};
use mesh_testkit::node::{Netns, Pod, Process, Testnet};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use ztunnel_agent::capture::{self, Settings};
use ztunnel_agent::zds::{self, Answer, Proxies};

use crate::samples;

/// Tells this program that it is to be a ztunnel.
pub(crate) const PROCESS: &str = "ADIT_TEST_ZTUNNEL";
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
static MARKS: AtomicU32 = AtomicU32::new(0);
const CONTROLLER: &str = "172.30.0.1:15012";

pub(crate) struct World {
    pub(crate) net: Testnet,
    pub(crate) controller: Option<TestController>,
    pub(crate) ca: Arc<FakeCa>,
    nodes: Vec<NodeParts>,
    files: TempDir,
}

/// What runs on one node beside its pods.
struct NodeParts {
    proxies: Proxies,
    answers: mpsc::Receiver<Answer>,
    agent: JoinHandle<()>,
    ztunnel: Option<Process>,
}

/// A pod with its workload.
pub(crate) struct Place {
    pub(crate) pod: Pod,
    pub(crate) workload: Workload,
    pub(crate) node: u8,
}

impl World {
    /// Two nodes, both ready. Nothing where namespaces are not allowed.
    pub(crate) async fn start() -> Result<Option<World>> {
        World::start_with(&[]).await
    }

    /// The same with more environment variables for both ztunnels.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Result<Option<World>> {
        let Some(net) = Testnet::new(2)? else { return Ok(None) };
        let files = tempfile::tempdir()?;
        let ca = FakeCa::new("cluster.local");
        let mut world = World { net, controller: None, ca, nodes: Vec::new(), files };
        world.start_controller()?;
        for node in [1, 2] {
            let (told, answers) = mpsc::channel(64);
            let proxies = Proxies::new(told);
            let agent = world.start_agent(node, &proxies)?;
            proxies.complete();
            world.nodes.push(NodeParts { proxies, answers, agent, ztunnel: None });
            world.start_ztunnel(node, variables)?;
        }
        for node in [1, 2] {
            world.until_ready(node).await?;
        }
        Ok(Some(world))
    }

    pub(crate) fn start_controller(&mut self) -> Result<()> {
        let address: SocketAddr = CONTROLLER.parse()?;
        let listener = self.net.fabric().namespace().run(|| listen_tcp(address, &SocketOptions::plain()))?;
        self.controller = Some(TestController::start_on(listener, Arc::clone(&self.ca))?);
        Ok(())
    }

    pub(crate) fn controller(&self) -> &TestController {
        self.controller.as_ref().unwrap()
    }

    fn start_agent(&self, node: u8, proxies: &Proxies) -> Result<JoinHandle<()>> {
        let listener = zds::listen(&self.socket(node))?;
        Ok(tokio::spawn(listener.serve(proxies.clone())))
    }

    /// Ends the agent's conversations as a kill does and begins anew, knowing the same pods.
    pub(crate) fn restart_agent(&mut self, node: u8) -> Result<()> {
        let proxies = self.parts(node).proxies.clone();
        self.parts(node).agent.abort();
        let agent = self.start_agent(node, &proxies)?;
        self.parts(node).agent = agent;
        Ok(())
    }

    pub(crate) fn stop_agent(&mut self, node: u8) {
        self.parts(node).agent.abort();
    }

    fn socket(&self, node: u8) -> PathBuf {
        self.files.path().join(format!("zds-{node}.sock"))
    }

    fn log_file(&self, node: u8) -> PathBuf {
        self.files.path().join(format!("ztunnel-{node}.log"))
    }

    pub(crate) fn start_ztunnel(&mut self, node: u8, variables: &[(&str, &str)]) -> Result<()> {
        let process = self.spawn_ztunnel(node, self.net.node(node).netns(), variables)?;
        self.parts(node).ztunnel = Some(process);
        Ok(())
    }

    /// Starts a ztunnel for a node in some network beside the one it has.
    pub(crate) fn spawn_ztunnel(
        &self,
        node: u8,
        netns: &Netns,
        variables: &[(&str, &str)],
    ) -> Result<Process> {
        let log = File::options().create(true).append(true).open(self.log_file(node))?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--exact", "ztunnel_process", "--ignored", "--nocapture", "--test-threads=1"])
            .env(PROCESS, "1")
            .env("POD_NAME", format!("ztunnel-{node}"))
            .env("POD_NAMESPACE", "istio-system")
            .env("NODE_NAME", format!("node{node}"))
            .env("INSTANCE_IP", self.net.node(node).address().to_string())
            .env("XDS_ADDRESS", format!("http://{CONTROLLER}"))
            .env("AUTH_TOKEN", "none")
            .env("INPOD_UDS", self.socket(node))
            .env("LOG_FORMAT", "json")
            .env("RUST_LOG", "info,access=debug")
            .env("ZTUNNEL_WORKER_THREADS", "2")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        netns.start(&mut command)
    }

    /// Puts another process in the place of a node's ztunnel, and returns the one that was there.
    pub(crate) fn replace_ztunnel(&mut self, node: u8, successor: Process) -> Process {
        self.parts(node).ztunnel.replace(successor).unwrap()
    }

    /// Kills without a warning.
    pub(crate) fn kill_ztunnel(&mut self, node: u8) {
        self.parts(node).ztunnel = None;
    }

    /// Asks to end; the process stays the caller's, so that it can see how it ends.
    pub(crate) fn terminate_ztunnel(&mut self, node: u8) -> Process {
        let process = self.parts(node).ztunnel.take().unwrap();
        terminate(&process);
        process
    }

    /// Asks it to end by HTTP.
    pub(crate) async fn terminate_by_request(&mut self, node: u8) -> Result<Process> {
        let (status, body) = self.request(node, 15000, "POST", "/quitquitquit").await?;
        ensure!((status, body.as_str()) == (200, "shutdown now\n"), "{status} {body:?}");
        Ok(self.parts(node).ztunnel.take().unwrap())
    }

    fn parts(&mut self, node: u8) -> &mut NodeParts {
        &mut self.nodes[usize::from(node) - 1]
    }

    pub(crate) async fn until_ready(&self, node: u8) -> Result<()> {
        let ready = until(|| async { self.readiness(node).await.ok().filter(|body| body == "ready\n") });
        ready.await.with_context(|| format!("ztunnel {node} is not ready:\n{}", self.raw_log(node))).map(drop)
    }

    pub(crate) async fn readiness(&self, node: u8) -> Result<String> {
        Ok(self.get(node, 15021, "/healthz/ready").await?.1)
    }

    /// Asks one of ztunnel's own servers; status and body.
    pub(crate) async fn get(&self, node: u8, port: u16, path: &str) -> Result<(u16, String)> {
        self.request(node, port, "GET", path).await
    }

    pub(crate) async fn request(
        &self,
        node: u8,
        port: u16,
        method: &str,
        path: &str,
    ) -> Result<(u16, String)> {
        request_in(self.net.node(node).netns(), port, method, path).await
    }

    /// A pod that is captured and reached by HBONE.
    pub(crate) async fn captured(&mut self, node: u8, name: &str) -> Result<Place> {
        let place = self.place(node, name, |_| {}).await?;
        self.enrol(&place).await?;
        Ok(place)
    }

    /// A pod outside the mesh that the controller knows.
    pub(crate) async fn uncaptured(&self, node: u8, name: &str) -> Result<Place> {
        self.place(node, name, |workload| workload.tunnel = TunnelProtocol::Tcp).await
    }

    /// A pod the mesh knows, with changes to what it knows of it.
    pub(crate) async fn place(
        &self,
        node: u8,
        name: &str,
        change: impl FnOnce(&mut Workload),
    ) -> Result<Place> {
        let place = self.unpublished(node, name, change)?;
        self.publish(&place.workload).await?;
        Ok(place)
    }

    /// Publishes a resource and waits until both ztunnels have it.
    pub(crate) async fn publish<R: Publish>(&self, resource: &R) -> Result<()> {
        self.controller().publish(resource);
        // Updates arrive in order: with the mark, whatever was published before is there as well.
        let mark = samples::workload(&format!("mark-{}", MARKS.fetch_add(1, Ordering::Relaxed)), "192.0.2.1");
        self.controller().publish(&mark);
        for node in [1, 2] {
            let known = || async { self.dump(node).await.ok().filter(|dump| names(dump, &mark.name)) };
            until(known).await.with_context(|| format!("ztunnel {node} is behind"))?;
        }
        self.controller().remove(&mark);
        Ok(())
    }

    pub(crate) async fn dump(&self, node: u8) -> Result<Value> {
        Ok(serde_json::from_str(&self.get(node, 15000, "/config_dump").await?.1)?)
    }

    /// A pod the controller does not know yet.
    pub(crate) fn unpublished(
        &self,
        node: u8,
        name: &str,
        change: impl FnOnce(&mut Workload),
    ) -> Result<Place> {
        let pod = self.net.node(node).pod(name)?;
        let mut workload = samples::workload(name, &pod.address().to_string());
        workload.node = format!("node{node}").into();
        change(&mut workload);
        Ok(Place { pod, workload, node })
    }

    /// Hands a pod to its node's ztunnel and captures it, in the agent's order.
    pub(crate) async fn enrol(&mut self, place: &Place) -> Result<()> {
        capture::apply(place.pod.netns().namespace(), &Settings::default()).await?;
        self.hand_over(place).await?.map_err(anyhow::Error::msg)
    }

    /// Hands a pod to its node's ztunnel, and says what that answered.
    pub(crate) async fn hand_over(&mut self, place: &Place) -> Result<Result<(), String>> {
        let info = WorkloadInfo {
            name: place.workload.name.to_string(),
            namespace: place.workload.namespace.to_string(),
            service_account: place.workload.service_account.to_string(),
        };
        let workload = zds::Workload { info, namespace: place.pod.netns().namespace().clone() };
        let uid = place.uid();
        let parts = self.parts(place.node);
        parts.proxies.add(&uid, workload)?;
        loop {
            let answer = timeout(DEADLINE, parts.answers.recv()).await?.context("the agent is gone")?;
            if answer.uid == uid {
                return Ok(answer.result);
            }
        }
    }

    /// Lets a pod go: capture first, as the agent does.
    pub(crate) async fn release(&mut self, place: &Place) -> Result<()> {
        capture::remove(place.pod.netns().namespace()).await?;
        self.parts(place.node).proxies.delete(&place.uid());
        Ok(())
    }

    /// Memory a ztunnel has in use.
    pub(crate) fn resident_kib(&self, node: u8) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid(node)?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// The process of a node's ztunnel.
    pub(crate) fn pid(&self, node: u8) -> Result<u32> {
        Ok(self.nodes[usize::from(node) - 1].ztunnel.as_ref().context("not running")?.0.id())
    }

    pub(crate) fn raw_log(&self, node: u8) -> String {
        std::fs::read_to_string(self.log_file(node)).unwrap_or_default()
    }

    /// The lines of an access log that say this and hold all these fields.
    pub(crate) fn access_log(&self, node: u8, message: &str, fields: &[(&str, &str)]) -> Vec<Value> {
        let fits = |line: &Value| {
            line["scope"] == "access"
                && line["message"] == message
                && fields.iter().all(|(name, value)| line[*name] == *value)
        };
        let log = self.raw_log(node);
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(fits).collect()
    }

    /// Waits for such a line.
    pub(crate) async fn logged(&self, node: u8, message: &str, fields: &[(&str, &str)]) -> Result<Value> {
        let line = until(|| async { self.access_log(node, message, fields).into_iter().next_back() });
        line.await.with_context(|| format!("no {message:?} with {fields:?} in:\n{}", self.raw_log(node)))
    }
}

impl Place {
    pub(crate) fn netns(&self) -> &Netns {
        self.pod.netns()
    }

    pub(crate) fn uid(&self) -> String {
        format!("uid-{}", self.workload.name)
    }

    pub(crate) fn identity(&self) -> Identity {
        self.workload.identity()
    }

    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.pod.address(), port)
    }

    pub(crate) async fn connect(&self, to: SocketAddr) -> Result<TcpStream> {
        Ok(self.netns().connect(to).await?)
    }

    /// Sends a text to an echo server and expects it back.
    pub(crate) async fn echoes(&self, to: SocketAddr) -> Result<()> {
        let mut stream = self.connect(to).await?;
        echoed(&mut stream, "is it you?").await
    }

    /// Whether the connection is not made, or ends without a byte.
    pub(crate) async fn is_refused(&self, to: SocketAddr) -> Result<()> {
        let attempt = async {
            let mut stream = self.netns().connect(to).await?;
            stream.write_all(b"let me in").await?;
            stream.read(&mut [0; 64]).await
        };
        match timeout(DEADLINE, attempt).await.context("neither answered nor closed")? {
            Ok(1..) => bail!("{to} answered"),
            Ok(0) | Err(_) => Ok(()),
        }
    }
}

/// Sends SIGTERM.
pub(crate) fn terminate(process: &Process) {
    let pid = i32::try_from(process.0.id()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
}

/// Asks a server on the loopback address of a network; status and body.
pub(crate) async fn request_in(netns: &Netns, port: u16, method: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = netns.connect(SocketAddr::new("127.0.0.1".parse()?, port)).await?;
    let request = format!("{method} {path} HTTP/1.1\r\nhost: ztunnel\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut answer)).await??;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, body.to_owned()))
}

fn names(dump: &Value, workload: &str) -> bool {
    dump["workloads"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == *workload))
}

/// Sends a text over an open connection to an echo server and expects it back.
pub(crate) async fn echoed(stream: &mut TcpStream, text: &str) -> Result<()> {
    stream.write_all(text.as_bytes()).await?;
    let mut back = vec![0; text.len()];
    timeout(DEADLINE, stream.read_exact(&mut back)).await.context("no echo")??;
    ensure!(back == text.as_bytes(), "{:?} came back", String::from_utf8_lossy(&back));
    Ok(())
}

/// Waits for the connection to end, and says how: `true` by a reset.
pub(crate) async fn ended_by_reset(stream: &mut TcpStream) -> Result<bool> {
    let read = timeout(DEADLINE, stream.read(&mut [0; 64])).await.context("it goes on")?;
    match read {
        Ok(0) => Ok(false),
        Ok(_) => bail!("it still carries data"),
        Err(_) => Ok(true),
    }
}

/// Looks again and again until there is something or the deadline passes.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> Result<T> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "not within {DEADLINE:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Until a check passes; else the reason it last did not.
pub(crate) async fn eventually<F: Future<Output = Result<()>>>(mut check: impl FnMut() -> F) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match check().await {
            Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
            outcome => return outcome,
        }
    }
}

/// A service with these ports in front of these pods.
pub(crate) fn with_ports(workload: &mut Workload, service: &str, ports: &[(u16, u16)]) {
    workload.services.insert(samples::key(service), SmallMap::from_iter(ports.iter().copied()));
}
