//! The bookshop while it is open: a mesh of its own, and calls made from inside its pods.

use std::fs::File;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::local::get;
use crate::local::launch::OWN_PROGRAM;
use crate::local::lookup;
use crate::local::mesh::Mesh;

/// So short that certificates are renewed while one watches.
const CERTIFICATE_TTL: &str = "16s";
/// How long everything may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_millis(20);

/// The bookshop's own manifests.
const MANIFESTS: [&str; 3] =
    [include_str!("bookshop.yaml"), include_str!("legacy.yaml"), include_str!("routes.yaml")];

/// A manifest that is applied while it is open.
pub(super) const ALL_ON_V2: &str = include_str!("all-on-v2.yaml");
/// Another.
pub(super) const DETAILS_POLICY: &str = include_str!("details-only-for-the-page.yaml");

/// A pod to call from: its namespace, and the beginning of its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) namespace: &'static str,
    pub(super) pod: &'static str,
}

/// In the mesh, on the first node.
pub(super) const PAGE: Caller = Caller { namespace: "bookshop", pod: "productpage" };
/// In the mesh, and none of details' business.
pub(super) const REVIEWS: Caller = Caller { namespace: "bookshop", pod: "reviews-v1" };
/// Not in the mesh, on the first node.
pub(super) const TILL: Caller = Caller { namespace: "legacy", pod: "till" };

/// One answer to a call, or why there is none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Called {
    pub(super) status: u16,
    pub(super) millis: f64,
    pub(super) error: String,
    /// What an echo says of itself and of the request it got.
    pub(super) answer: Value,
}

impl Called {
    /// The version of the service that answered.
    pub(super) fn version(&self) -> &str {
        self.answer["version"].as_str().unwrap_or_default()
    }

    /// A header as the service got it.
    pub(super) fn header(&self, name: &str) -> &str {
        self.answer["headers"][name].as_str().unwrap_or_default()
    }

    /// `200`, or why there was no answer.
    pub(super) fn outcome(&self) -> String {
        if self.error.is_empty() { self.status.to_string() } else { self.error.clone() }
    }
}

/// The open bookshop.
pub(super) struct Shop {
    pub(super) mesh: Mesh,
    supervisor: Child,
    keep: bool,
}

impl Shop {
    /// Starts the mesh, applies the manifests and waits until all of it is ready.
    pub(super) fn open(mesh: &Mesh, keep: bool) -> Result<Self> {
        let mut up = Command::new(OWN_PROGRAM);
        up.args(["local", "--name", &mesh.to_string(), "up", "--certificate-ttl", CERTIFICATE_TTL]);
        if keep {
            up.arg("--detach");
        } else {
            // Whatever becomes of this process, the mesh does not outlive it.
            up.args(["--parent", &std::process::id().to_string()]);
        }
        let supervisor = up.stdin(Stdio::null()).spawn().context("starting the mesh")?;
        let mut shop = Shop { mesh: mesh.clone(), supervisor, keep };
        shop.wait_up()?;
        for manifest in MANIFESTS {
            shop.apply(manifest)?;
        }
        shop.wait_ready()?;
        Ok(shop)
    }

    /// Takes the mesh down, unless it is to stay.
    pub(super) fn close(mut self) -> Result<()> {
        if self.keep {
            return Ok(());
        }
        println!();
        let down =
            Command::new(OWN_PROGRAM).args(["local", "--name", &self.mesh.to_string(), "down"]).status()?;
        self.supervisor.wait()?;
        if !down.success() {
            bail!("the mesh could not be taken down");
        }
        Ok(())
    }

    fn wait_up(&mut self) -> Result<()> {
        let mesh = self.mesh.clone();
        let up = wait("the mesh", || Ok(mesh.ready().exists().then_some(())));
        let ended = self.supervisor.try_wait()?.filter(|status| !(self.keep && status.success()));
        match ended {
            Some(status) => bail!("the mesh could not be started ({status})"),
            None => up,
        }
    }

    /// All pods take traffic and the waypoint is announced.
    fn wait_ready(&self) -> Result<()> {
        wait("the bookshop", || {
            let pods = lookup::pods(&self.mesh)?;
            let is_here = |pod: &str| pods.iter().any(|it| it.name.starts_with(pod));
            let all_here = ["productpage-", "reviews-v2-", "till-", "waypoint-"].into_iter().all(is_here);
            let status = get::status_of(&self.mesh, "gateway", "bookshop", "waypoint");
            let is_ready = all_here
                && pods.iter().all(|pod| pod.is("Ready"))
                && get::condition(&status, "Programmed") == "True";
            Ok(is_ready.then_some(()))
        })
    }

    /// Applies a manifest, as the user would.
    pub(super) fn apply(&self, manifest: &str) -> Result<()> {
        let mut apply = Command::new(OWN_PROGRAM)
            .args(["local", "--name", &self.mesh.to_string(), "apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        apply.stdin.take().context("apply reads nothing")?.write_all(manifest.as_bytes())?;
        if !apply.wait()?.success() {
            bail!("the manifest was not accepted");
        }
        Ok(())
    }

    /// Makes calls from inside a pod, by `adit echo call` with these arguments.
    pub(super) fn call(&self, from: Caller, arguments: &[&str]) -> Result<Vec<Called>> {
        self.start_calls(from, arguments)?.finish()
    }

    /// One call.
    pub(super) fn call_once(&self, from: Caller, arguments: &[&str]) -> Result<Called> {
        self.call(from, arguments)?.pop().context("there was no call")
    }

    /// Starts calls that go on beside this.
    pub(super) fn start_calls(&self, from: Caller, arguments: &[&str]) -> Result<Calls> {
        let child = Command::new(OWN_PROGRAM)
            .args(["local", "--name", &self.mesh.to_string(), "exec", "-n", from.namespace, from.pod, "--"])
            .args(["adit", "echo", "call", "--json"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Calls { child })
    }

    /// What the ztunnel of a node has printed from now on.
    pub(super) fn ztunnel_log(&self, node: &str) -> Result<File> {
        use std::io::{Seek, SeekFrom};
        let path = self.mesh.logs().join(format!("istio-system.ztunnel-{node}.istio-proxy.log"));
        let mut file = File::open(&path).with_context(|| path.display().to_string())?;
        file.seek(SeekFrom::End(0))?;
        Ok(file)
    }
}

/// Calls under way.
pub(super) struct Calls {
    child: Child,
}

impl Calls {
    /// Waits for all answers.
    pub(super) fn finish(self) -> Result<Vec<Called>> {
        let output = self.child.wait_with_output()?;
        let text = String::from_utf8(output.stdout)?;
        let parse = |line: &str| serde_json::from_str(line).with_context(|| format!("not an answer: {line}"));
        text.lines().map(parse).collect()
    }
}

/// Looks again and again until there is something, but not forever.
pub(super) fn wait<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("{what} was not there within {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(PERIOD);
    }
}
