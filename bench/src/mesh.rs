//! The mesh that is measured: `adit local`, as a user would run it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::Context;
use serde_json::Value;

/// How long a program in a pod may take to be started.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// A running local mesh; taken down when dropped.
pub(crate) struct Mesh {
    adit: PathBuf,
    name: String,
}

impl Mesh {
    /// Brings up two nodes with the manifests in `folder`.
    pub(crate) fn up(adit: &Path, folder: &Path) -> anyhow::Result<Self> {
        Mesh::up_with(adit, folder, &[])
    }

    /// The same with further options of `adit local up`.
    pub(crate) fn up_with(adit: &Path, folder: &Path, options: &[&str]) -> anyhow::Result<Self> {
        let mesh = Mesh { adit: adit.to_owned(), name: format!("bench{}", std::process::id()) };
        let status = mesh
            .command("up")
            .args(["--detach", "--nodes", "2", "-f"])
            .arg(folder)
            .args(options)
            .status()
            .with_context(|| format!("cannot run {}; build it first", adit.display()))?;
        anyhow::ensure!(status.success(), "the mesh did not come up; `adit local up` says why above");
        Ok(mesh)
    }

    /// What `command` prints when run in a pod.
    pub(crate) fn run(&self, namespace: &str, pod: &str, command: &[String]) -> anyhow::Result<String> {
        let output = self.exec(namespace, pod, command).stderr(Stdio::inherit()).output()?;
        anyhow::ensure!(output.status.success(), "{} in {namespace}/{pod} failed", command.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts `command` in a pod and leaves it running.
    pub(crate) fn start(&self, namespace: &str, pod: &str, command: &[String]) -> anyhow::Result<Running> {
        let child = self.exec(namespace, pod, command).stdout(Stdio::piped()).spawn()?;
        Ok(Running(child))
    }

    /// The same, and returns once the process has become the program: until then it is the command that starts it.
    pub(crate) fn start_program(
        &self,
        namespace: &str,
        pod: &str,
        command: &[String],
    ) -> anyhow::Result<Running> {
        let running = self.start(namespace, pod, command)?;
        let file = format!("/proc/{}/exe", running.pid());
        let before = fs::canonicalize(&self.adit)?;
        let deadline = Instant::now() + START_PATIENCE;
        while fs::read_link(&file).with_context(|| format!("{} ended early", command.join(" ")))? == before {
            anyhow::ensure!(
                Instant::now() < deadline,
                "{} did not start in {namespace}/{pod}",
                command.join(" ")
            );
            thread::sleep(Duration::from_millis(10));
        }
        Ok(running)
    }

    /// The IP address of the first pod whose name begins like this.
    pub(crate) fn address_of(&self, namespace: &str, pod: &str) -> anyhow::Result<String> {
        let pods = self.pods(namespace)?;
        let fits = |name: &str| name.starts_with(pod);
        let found = pods.iter().find(|item| item["metadata"]["name"].as_str().is_some_and(fits));
        let address = found.and_then(|item| item["status"]["podIP"].as_str());
        address.map(str::to_owned).with_context(|| format!("{namespace}/{pod} has no address"))
    }

    /// Adds the objects of a file.
    pub(crate) fn apply(&self, file: &Path) -> anyhow::Result<()> {
        let output = self.command("apply").arg("-f").arg(file).stderr(Stdio::inherit()).output()?;
        anyhow::ensure!(output.status.success(), "{} could not be applied", file.display());
        Ok(())
    }

    /// Where the controller reads objects, one a file.
    pub(crate) fn manifests(&self) -> PathBuf {
        Path::new("/run/adit").join(&self.name).join("manifests")
    }

    /// The process ids of all ztunnels of the mesh.
    pub(crate) fn ztunnels(&self) -> anyhow::Result<Vec<u32>> {
        self.pids("istio-system", "ztunnel")
    }

    /// The process ids of the pods whose names begin like this.
    pub(crate) fn pids(&self, namespace: &str, prefix: &str) -> anyhow::Result<Vec<u32>> {
        let pods = self.pods(namespace)?;
        let fits =
            |pod: &&Value| pod["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(prefix));
        let pid = |pod: &Value| {
            let id = pod["status"]["containerStatuses"][0]["containerID"].as_str()?;
            id.strip_prefix("process://")?.parse().ok()
        };
        let pids = pods
            .iter()
            .filter(fits)
            .map(|pod| pid(pod).with_context(|| format!("a pod {prefix}… is not running")));
        pids.collect()
    }

    fn pods(&self, namespace: &str) -> anyhow::Result<Vec<Value>> {
        let output = self.command("get").args(["pods", "-o", "json", "-n", namespace]).output()?;
        let list: Value = serde_json::from_slice(&output.stdout)
            .context("`adit local get pods -o json` printed no JSON")?;
        list["items"].as_array().cloned().context("`adit local get pods -o json` printed no list")
    }

    fn exec(&self, namespace: &str, pod: &str, command: &[String]) -> Command {
        let mut exec = self.command("exec");
        exec.args(["-n", namespace, pod, "--"]).args(command);
        exec
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.adit);
        command.args(["local", "--name", &self.name, verb]).stdin(Stdio::null());
        command
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let down = self.command("down").status();
        if !down.is_ok_and(|status| status.success()) {
            eprintln!(
                "the mesh {} may still be up; `adit local --name {} down` ends it",
                self.name, self.name
            );
        }
    }
}

/// A program in a pod; ended when dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Its process id: `exec` becomes the program.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Its output, to be read line by line.
    pub(crate) fn output(&mut self) -> anyhow::Result<std::process::ChildStdout> {
        self.0.stdout.take().context("its output is being read already")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; nothing else depends on it.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
