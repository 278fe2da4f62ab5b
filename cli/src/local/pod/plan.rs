//! From a pod's manifest to what is run for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{self, Container, Pod, PodSpec};

use super::probe::Probe;
use super::status::{ContainerStatus, PodStatus, State};
use crate::local::environment::{self, expand};
use crate::local::files;
use crate::local::images::{self, ImageCommand};
use crate::local::launch::Surroundings;
use crate::local::mesh::Mesh;

/// Longest that a pod may ask to be given for its end.
const LONGEST_GRACE: u64 = 30;

/// When a container that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    Always,
    OnFailure,
    Never,
}

/// One container, ready to be run.
#[derive(Clone, Debug)]
pub(in crate::local) struct ContainerPlan {
    pub(in crate::local) name: String,
    pub(super) command: Vec<String>,
    /// The file with its surroundings.
    pub(super) surroundings: PathBuf,
    pub(super) log: PathBuf,
    pub(super) restart: Restart,
    pub(super) grace: Duration,
    pub(super) is_sidecar: bool,
    pub(super) startup: Option<Probe>,
    pub(super) readiness: Option<Probe>,
    pub(super) liveness: Option<Probe>,
}

/// A pod, ready to be run.
#[derive(Debug)]
pub(in crate::local) struct PodPlan {
    pub(super) init: Vec<ContainerPlan>,
    pub(super) containers: Vec<ContainerPlan>,
    /// What its status is before anything has happened.
    pub(in crate::local) status: PodStatus,
}

/// What a plan is made from besides the pod.
pub(in crate::local) struct Planning<'a> {
    pub(in crate::local) mesh: &'a Mesh,
    pub(in crate::local) images: &'a [ImageCommand],
    pub(in crate::local) environment: environment::Surroundings<'a>,
    pub(in crate::local) netns: &'a Path,
    /// Files that stand in the place of others.
    pub(in crate::local) files: Vec<(PathBuf, PathBuf)>,
}

/// The plan for a pod whose name, uid and addresses are known; writes down its surroundings.
/// The error says which container cannot be run, and what to do about it.
pub(in crate::local) fn plan(pod: &Pod, planning: &Planning<'_>) -> Result<PodPlan> {
    let spec = pod.spec.as_ref().context("the pod has no spec")?;
    let restart = match spec.restart_policy.as_deref() {
        Some("Never") => Restart::Never,
        Some("OnFailure") => Restart::OnFailure,
        _ => Restart::Always,
    };
    let (mut init, mut containers) = (Vec::new(), Vec::new());
    for container in spec.init_containers.iter().flatten() {
        let is_sidecar = container.restart_policy.as_deref() == Some("Always");
        let restart = match restart {
            _ if is_sidecar => Restart::Always,
            Restart::Never => Restart::Never,
            _ => Restart::OnFailure,
        };
        init.push(ContainerPlan { is_sidecar, ..planning.container(pod, spec, container, restart)? });
    }
    for container in &spec.containers {
        containers.push(planning.container(pod, spec, container, restart)?);
    }
    Ok(PodPlan { status: status(spec), init, containers })
}

fn status(spec: &PodSpec) -> PodStatus {
    let container = |container: &Container, is_init| ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        is_init,
        state: State::Waiting,
        started: false,
        ready: false,
        restarts: 0,
        reason: String::new(),
    };
    let init = spec.init_containers.iter().flatten().map(|it| container(it, true));
    let containers = init.chain(spec.containers.iter().map(|it| container(it, false))).collect();
    PodStatus { containers, ..PodStatus::default() }
}

impl Planning<'_> {
    fn container(
        &self,
        pod: &Pod,
        spec: &PodSpec,
        container: &Container,
        restart: Restart,
    ) -> Result<ContainerPlan> {
        let named = || format!("container {}", container.name);
        let mut variables = self.base_variables(pod);
        let own = environment::variables(container, &self.environment);
        variables.extend(own.map_err(anyhow::Error::msg).with_context(named)?);
        let command = command(container, self.images, &variables);
        let command = command.map_err(anyhow::Error::msg).with_context(named)?;
        let (namespace, name) = name_of(pod);
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let surroundings = self.mesh.containers().join(format!("{uid}.{}.json", container.name));
        let launch = Surroundings {
            netns: self.netns.to_owned(),
            hostname: hostname(name),
            files: self.files.clone(),
            environment: variables,
            directory: container.working_dir.as_ref().map(PathBuf::from),
        };
        files::write_atomically(&surroundings, serde_json::to_vec_pretty(&launch)?)?;
        let ports = container.ports.as_deref().unwrap_or_default();
        let probe = |kind: &str, probe: &Option<v1::Probe>| -> Result<Option<Probe>> {
            let probe = probe.as_ref().map(|probe| Probe::new(probe, ports)).transpose();
            probe.map_err(anyhow::Error::msg).with_context(|| format!("container {}: {kind}", container.name))
        };
        let grace = spec.termination_grace_period_seconds.unwrap_or(LONGEST_GRACE as i64);
        Ok(ContainerPlan {
            name: container.name.clone(),
            command,
            surroundings,
            log: self.mesh.logs().join(format!("{namespace}.{name}.{}.log", container.name)),
            restart,
            grace: Duration::from_secs(u64::try_from(grace).unwrap_or(0).min(LONGEST_GRACE)),
            is_sidecar: false,
            startup: probe("startupProbe", &container.startup_probe)?,
            readiness: probe("readinessProbe", &container.readiness_probe)?,
            liveness: probe("livenessProbe", &container.liveness_probe)?,
        })
    }

    /// What a process finds besides its container's variables.
    fn base_variables(&self, pod: &Pod) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::from([("HOSTNAME".to_owned(), hostname(name_of(pod).1))]);
        for name in ["HOME", "LANG", "TERM", "RUST_BACKTRACE"] {
            variables.extend(std::env::var(name).ok().map(|value| (name.to_owned(), value)));
        }
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
        variables.insert("PATH".to_owned(), format!("{}:{path}", self.mesh.bin().display()));
        variables
    }
}

/// A pod's namespace and name.
fn name_of(pod: &Pod) -> (&str, &str) {
    (pod.metadata.namespace.as_deref().unwrap_or_default(), pod.metadata.name.as_deref().unwrap_or_default())
}

/// Linux takes no longer host names.
fn hostname(pod: &str) -> String {
    pod.chars().take(63).collect()
}

/// The command line of a container: its own command if this machine has the program, else the one that
/// stands for its image.
fn command(
    container: &Container,
    images: &[ImageCommand],
    variables: &BTreeMap<String, String>,
) -> Result<Vec<String>, String> {
    let image = container.image.as_deref().unwrap_or_default();
    let path = variables.get("PATH").map(String::as_str).unwrap_or_default();
    let arguments = container.args.as_deref().unwrap_or_default();
    let words = |command: &[String], arguments: &[String]| -> Vec<String> {
        command.iter().chain(arguments).map(|word| expand(word, variables)).collect()
    };
    let own = container.command.as_deref().filter(|command| !command.is_empty());
    let own = own.map(|command| words(command, arguments));
    // The arguments of a command that is replaced are for the program that is not here.
    let mapped = images::find(images, image).map(|it| words(it, if own.is_none() { arguments } else { &[] }));
    let is_present = |words: &&Vec<String>| words.first().is_some_and(|program| !is_absent(program, path));
    if let Some(words) = [&own, &mapped].into_iter().flatten().find(is_present) {
        return Ok(words.clone());
    }
    Err(match mapped.or(own).as_deref() {
        Some([program, ..]) => format!(
            "this machine has no program {program:?}; install it, or name another: --run '{image}=COMMAND'"
        ),
        _ => format!(
            "it has no command, and images cannot be run here; name the program of this machine that stands \
             for it: --run '{image}=COMMAND'"
        ),
    })
}

fn is_absent(program: &str, path: &str) -> bool {
    match program.contains('/') {
        true => program.starts_with('/') && !Path::new(program).is_file(),
        false => !path.split(':').any(|directory| Path::new(directory).join(program).is_file()),
    }
}

/// Fields of a pod that are set and have no effect on this machine.
pub(in crate::local) fn ignored_fields(pod: &Pod) -> BTreeSet<&'static str> {
    let mut ignored = BTreeSet::new();
    let mut note = |is_set: bool, name| {
        if is_set {
            ignored.insert(name);
        }
    };
    let Some(spec) = &pod.spec else { return ignored };
    note(spec.volumes.is_some(), "volumes");
    note(spec.affinity.is_some(), "affinity");
    note(spec.tolerations.is_some(), "tolerations");
    note(spec.node_selector.is_some(), "nodeSelector");
    note(spec.topology_spread_constraints.is_some(), "topologySpreadConstraints");
    note(spec.security_context.as_ref().is_some_and(|it| *it != Default::default()), "securityContext");
    note(spec.dns_config.is_some() || spec.dns_policy.is_some(), "dnsPolicy");
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        note(container.volume_mounts.is_some(), "volumeMounts");
        note(container.resources.as_ref().is_some_and(|it| *it != Default::default()), "resources");
        note(container.security_context.is_some(), "securityContext");
        note(container.lifecycle.is_some(), "lifecycle");
    }
    ignored
}

#[cfg(test)]
mod tests;
