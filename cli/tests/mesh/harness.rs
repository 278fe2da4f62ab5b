//! A local mesh for one test, driven by the commands a user would type, and
//! taken down when it is dropped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

/// The command under test.
pub const ADIT: &str = env!("CARGO_BIN_EXE_adit");

/// How long anything may take that has to happen eventually. Slow machines are
/// slow; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running mesh.
pub struct Mesh {
    name: String,
    folder: tempfile::TempDir,
}

impl Mesh {
    /// Brings up two nodes with these manifests.
    pub fn up(manifests: &str) -> Mesh {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mesh = Mesh { name, folder: tempfile::tempdir().unwrap() };
        let folder = mesh.folder.path().join("manifests");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("all.yaml"), manifests).unwrap();
        let folder = folder.to_str().unwrap().to_owned();
        let up = mesh.adit(&["up", "--detach", "--nodes", "2", "-f", &folder]);
        assert!(up.status.success(), "up failed:\n{}{}", text(&up.stdout), text(&up.stderr));
        mesh
    }

    /// Applies further or changed objects.
    pub fn apply(&self, manifests: &str) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = self.folder.path().join(format!("apply-{count}.yaml"));
        fs::write(&file, manifests).unwrap();
        let output = self.adit(&["apply", "-f", file.to_str().unwrap()]);
        assert!(output.status.success(), "apply failed: {}", text(&output.stderr));
    }

    /// Deletes one object.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) {
        let output = self.adit(&["delete", kind, name, "-n", namespace]);
        assert!(output.status.success(), "delete failed: {}", text(&output.stderr));
    }

    /// Runs a command in a pod and gives its output.
    pub fn exec(&self, pod: &str, command: &[&str]) -> Output {
        let (namespace, name) = pod.split_once('/').unwrap();
        let mut arguments = vec!["exec", "-n", namespace, name, "--"];
        arguments.extend(command);
        self.adit(&arguments)
    }

    /// Calls a URL from a pod with the echo client; gives what it printed, errors included.
    pub fn call(&self, pod: &str, url: &str, options: &[&str]) -> String {
        let mut command = vec![ADIT, "echo", "call", url, "--timeout", "5s"];
        command.extend(options);
        let output = self.exec(pod, &command);
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    }

    /// Calls until the answer contains `expected`; fails with the last answer after a while.
    pub fn call_until(&self, pod: &str, url: &str, options: &[&str], expected: &str) -> String {
        let mut last = String::new();
        self.eventually(
            || {
                last = self.call(pod, url, options);
                last.contains(expected).then(|| last.clone())
            },
            || format!("{pod} → {url}: no {expected:?}"),
        )
    }

    /// What `look` finds once it finds something.
    pub fn eventually<T>(&self, mut look: impl FnMut() -> Option<T>, what: impl Fn() -> String) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < deadline, "{} within {PATIENCE:?}\n{}", what(), self.all_logs());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The log of a component (`ztunnel-node-1`, `controller`) or of a pod, as `namespace/name`.
    pub fn logs(&self, of: &str) -> String {
        let (namespace, name) = of.split_once('/').unwrap_or(("istio-system", of));
        text(&self.adit(&["logs", name, "-n", namespace]).stdout)
    }

    /// `get KIND -o json`.
    pub fn get(&self, kind: &str) -> Vec<Value> {
        let output = self.adit(&["get", kind, "-A", "-o", "json"]);
        let list: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("get {kind}: {error}: {}", text(&output.stderr)));
        list["items"].as_array().unwrap().clone()
    }

    /// The address of a pod.
    pub fn address(&self, pod: &str) -> String {
        let (namespace, name) = pod.split_once('/').unwrap();
        let found = self
            .get("pods")
            .into_iter()
            .find(|item| item["metadata"]["namespace"] == namespace && item["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no pod {pod}"))["status"]["podIP"].as_str().unwrap().to_owned()
    }

    /// The process id of a component.
    pub fn pid(&self, component: &str) -> Option<i32> {
        let pods = self.get("pods");
        let found = pods.iter().find(|pod| pod["metadata"]["name"] == component)?;
        let id = found["status"]["containerStatuses"][0]["containerID"].as_str()?;
        id.strip_prefix("process://")?.parse().ok()
    }

    /// The process id of the process that keeps the mesh.
    pub fn supervisor(&self) -> i32 {
        fs::read_to_string(Path::new("/run/adit").join(&self.name).join("pid"))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }

    /// Starts a command in a pod and leaves it running.
    pub fn start(&self, pod: &str, command: &[&str]) -> Running {
        let (namespace, name) = pod.split_once('/').unwrap();
        let mut adit = self.command(&["exec", "-n", namespace, name, "--"]);
        let child = adit.args(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Running(Some(child))
    }

    /// `adit local --name … ARGUMENTS`.
    pub fn adit(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(ADIT);
        command.args(["local", "--name", &self.name]).args(arguments).stdin(Stdio::null());
        command
    }

    fn all_logs(&self) -> String {
        let components =
            ["controller", "ztunnel-node-1", "ztunnel-node-2", "node-agent-node-1", "node-agent-node-2"];
        components.map(|name| format!("--- {name}\n{}\n", tail(&self.logs(name)))).concat()
    }

    /// The name of the mesh, part of the names of all its network namespaces.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.all_logs());
        }
        let down = self.adit(&["down"]);
        if !down.status.success() {
            eprintln!("down failed: {}", text(&down.stderr));
        }
    }
}

/// A program in a pod; ended when dropped.
pub struct Running(Option<Child>);

impl Running {
    /// Waits for it to end by itself.
    pub fn finish(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// The last lines, for a failing test's output.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A namespace, enrolled or not.
pub fn namespace(name: &str, enrolled: bool) -> String {
    let labels = if enrolled { "{istio.io/dataplane-mode: ambient}" } else { "{}" };
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n---\n")
}

/// A pod on a node that runs the echo server as a service account of its own name.
pub fn echo_pod(namespace: &str, name: &str, app: &str, version: &str, node: u8) -> String {
    format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: {namespace}}}\n---\n\
         apiVersion: v1\nkind: Pod\n\
         metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {app}, version: {version}}}}}\n\
         spec:\n  serviceAccountName: {name}\n  nodeName: node-{node}\n  containers:\n  - name: echo\n    \
         command: [{ADIT:?}, echo, --http, '8080', --tcp, '9000', --server-first, '9001']\n    \
         env: [{{name: SERVICE, value: {app}}}, {{name: VERSION, value: {version}}}]\n    \
         readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}\n---\n"
    )
}

/// A service in front of the pods of an app: 80 and 8080 HTTP, 9000 and 9001 TCP.
pub fn service(namespace: &str, app: &str, labels: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {app}, namespace: {namespace}, labels: {{{labels}}}}}\n\
         spec:\n  selector: {{app: {app}}}\n  ports:\n  \
         - {{name: http, port: 80, targetPort: 8080}}\n  \
         - {{name: tcp, port: 9000}}\n  - {{name: tcp-server-first, port: 9001}}\n---\n"
    )
}

/// A waypoint of that name.
pub fn waypoint(namespace: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
         metadata: {{name: waypoint, namespace: {namespace}}}\n\
         spec:\n  gatewayClassName: istio-waypoint\n  \
         listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]\n---\n"
    )
}

/// Sends a signal to a process of the mesh.
pub fn signal(pid: i32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

/// Everything of a path below a folder, for looking at what a mesh left behind.
pub fn find(folder: &Path, part: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().contains(part));
    named.map(|entry| entry.path()).collect()
}
