//! From what the manifests want to pods that are made and ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use controller_translate::expand::expand;
use controller_translate::{Object, Settings as MeshSettings};
use k8s_openapi::api::core::v1::{Pod, Service};

use super::running::{Outcome, RunningPod};
use super::{Stage, Supervisor};
use crate::local::poll::Change;
use crate::local::rollout::{self, PodName, Steps};
use crate::local::services::{self, Addressing};
use crate::local::{clock, files, pod, programs};

/// What a pod gets to end, unless it asks for less.
const GRACE: Duration = Duration::from_secs(30);

impl Supervisor {
    /// Makes and ends pods and services as the manifests want them.
    pub(super) fn reconcile(&mut self) -> Result<()> {
        let wanted = self.wanted()?;
        self.address_services()?;
        self.remove_ended();
        let existing = self.pods.iter().map(|(name, pod)| (name.clone(), pod.existing())).collect();
        let Steps { start, end } = rollout::steps(&wanted, &existing);
        self.refused.retain(|name, _| wanted.contains_key(name));
        self.failures.retain(|name, _| wanted.contains_key(name));
        let now = clock::now();
        for name in end {
            if let Some(pod) = self.pods.get_mut(&name) {
                pod.end(&now, GRACE);
            }
        }
        self.remove_ended();
        self.notice(start.iter().filter_map(|name| wanted.get(name)));
        for name in start {
            let Some(asked) = wanted.get(&name) else { continue };
            match self.make(asked.clone()) {
                Ok(pod) => {
                    self.tell_failure(&name, pod.failure.as_deref());
                    self.refused.remove(&name);
                    self.pods.insert(name, pod);
                }
                Err(error) => self.refuse(name, format!("{error:#}")),
            }
        }
        // Labels and annotations change while a pod runs.
        for (name, asked) in wanted {
            if let Some(pod) = self.pods.get_mut(&name).filter(|pod| pod.asked.spec == asked.spec) {
                pod.asked.metadata = asked.metadata;
            }
        }
        Ok(())
    }

    /// What could not be run may be runnable after a change: it is made anew.
    pub(super) fn retry_failed(&mut self) {
        let now = clock::now();
        for pod in self.pods.values_mut().filter(|pod| pod.failure.is_some()) {
            pod.end(&now, Duration::ZERO);
        }
    }

    /// Says once that a pod cannot be run.
    fn tell_failure(&mut self, name: &PodName, failure: Option<&str>) {
        let told = self.failures.remove(name);
        if let Some(failure) = failure {
            if told.as_deref() != Some(failure) {
                self.console.problem(format_args!("{}/{} cannot be run: {failure}", name.0, name.1));
            }
            self.failures.insert(name.clone(), failure.to_owned());
        }
    }

    /// Says once that there is no place for a pod.
    fn refuse(&mut self, name: PodName, reason: String) {
        if self.refused.get(&name) != Some(&reason) {
            self.console.problem(format_args!("{}/{} has no place: {reason}", name.0, name.1));
            self.refused.insert(name, reason);
        }
    }

    /// The pods there should be by now. Sets the services, too.
    fn wanted(&mut self) -> Result<BTreeMap<PodName, Pod>> {
        let template = programs::waypoint_template(&self.mesh, &self.settings.programs);
        let objects = self.objects.all();
        let made = expand(&objects, &MeshSettings::default(), &template);
        let mut wanted = BTreeMap::new();
        self.services.clear();
        for object in objects.into_iter().chain(made) {
            match object {
                Object::Service(service) => {
                    let (namespace, name) = services::name_of(&service);
                    self.services.insert((namespace.to_owned(), name.to_owned()), *service);
                }
                Object::Pod(pod) if self.stage >= Stage::Pods => {
                    wanted.insert(rollout::name_of(&pod), *pod);
                }
                _ => {}
            }
        }
        // Last, so that no pod of the user's takes the place of one of these.
        for pod in self.own_programs()? {
            wanted.insert(rollout::name_of(&pod), pod);
        }
        Ok(wanted)
    }

    /// The pods of the mesh's own programs there should be by now.
    fn own_programs(&self) -> Result<Vec<Pod>> {
        let mut pods = vec![programs::controller(&self.mesh)?];
        if self.stage >= Stage::Nodes {
            for node in 1..=self.network.nodes() {
                pods.push(programs::node_agent(&self.mesh, node)?);
                pods.push(programs::ztunnel(&self.mesh, node, &self.settings.programs)?);
            }
        }
        Ok(pods)
    }

    /// Gives every service that has one its address.
    fn address_services(&mut self) -> Result<()> {
        self.addresses.keep_services(|name| self.services.contains_key(name));
        for ((namespace, name), service) in &mut self.services {
            if let Addressing::Own(wanted) = services::addressing(service) {
                let address = self.addresses.service(namespace, name, wanted)?.to_string();
                let spec = service.spec.get_or_insert_default();
                spec.cluster_ip = Some(address.clone());
                spec.cluster_ips = Some(vec![address]);
            }
        }
        Ok(())
    }

    /// Clears up after pods that have come to the end they were told to come to.
    fn remove_ended(&mut self) {
        let ended = self.pods.iter().filter(|(_, pod)| pod.ending.is_some() && pod.has_ended());
        let names: Vec<_> = ended.map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Some(pod) = self.pods.remove(&name)
                && let Err(error) = self.clear_up(&pod)
            {
                self.console.problem(format_args!("clearing up after {}/{}: {error:#}", name.0, name.1));
            }
        }
    }

    fn clear_up(&mut self, pod: &RunningPod) -> Result<()> {
        let (namespace, name) = pod.name();
        files::remove(&self.mesh.node(&pod.site.node_name).join("pods").join(pod.record_name()))?;
        files::remove(&self.mesh.runtime().join("pods").join(format!("{namespace}.{name}.yaml")))?;
        files::remove(&self.token_path(&pod.name()))?;
        files::remove(&self.mesh.hosts().join(&pod.uid))?;
        for entry in fs::read_dir(self.mesh.containers())?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&format!("{}.", pod.uid)) {
                files::remove(&entry.path())?;
            }
        }
        self.published.forget(&pod.uid);
        self.announced.remove(&pod.uid);
        if pod.site.has_own_network {
            self.network.remove_pod(pod.site.node, &pod.site.netns, pod.site.address)?;
            self.addresses.give_back_pod(pod.site.address);
        }
        Ok(())
    }

    /// Reads what the node agents say; whether anything is new.
    pub(super) fn read_outcomes(&mut self) -> bool {
        let mut is_new = false;
        for results in &mut self.results {
            for change in results.changes() {
                let Change::Written(file) = change else { continue };
                let uid = file.trim_end_matches(".json");
                let Some(pod) = self.pods.values_mut().find(|pod| pod.uid == uid) else { continue };
                let text = fs::read(results.directory().join(&file)).unwrap_or_default();
                // Written whole by renaming: what cannot be read is gone again.
                let Ok(outcome) = serde_json::from_slice::<Outcome>(&text) else { continue };
                if outcome.redirection != "pending" {
                    pod.admit();
                }
                is_new |= pod.outcome.as_ref() != Some(&outcome);
                pod.outcome = Some(outcome);
            }
        }
        is_new
    }

    /// Names the fields of new pods that have no effect, each once.
    fn notice<'a>(&mut self, pods: impl Iterator<Item = &'a Pod>) {
        let applications = pods.filter(|pod| !programs::is_waypoint(pod));
        let ignored: BTreeSet<_> = applications.flat_map(pod::ignored_fields).collect();
        let new: Vec<_> = ignored.difference(&self.noticed).copied().collect();
        if !new.is_empty() {
            let fields = new.join(", ");
            self.console.step(format_args!("fields without effect on this machine are ignored: {fields}"));
            self.noticed.extend(new);
        }
    }
}

/// The address of a service that has one of its own.
pub(super) fn cluster_ip(service: &Service) -> Option<Ipv4Addr> {
    service.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok()
}
