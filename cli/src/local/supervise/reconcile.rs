//! From what the manifests want to pods that are made and ended.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use controller_translate::expand::expand;
use controller_translate::{Object, Settings as MeshSettings};
use k8s_openapi::api::core::v1::{Pod, Service};

use super::running::{Outcome, RunningPod, Site};
use super::{Stage, Supervisor};
use crate::local::addresses::{self, CONTROLLER};
use crate::local::environment::{self, Surroundings};
use crate::local::network::{Netns, node_name};
use crate::local::pod::{self, Planning};
use crate::local::poll::Change;
use crate::local::programs::{self, CONTROL_PLANE};
use crate::local::rollout::{self, PodName, Steps};
use crate::local::services::{self, Addressing};
use crate::local::tokens::{self, Bearer};
use crate::local::{clock, files};

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
        let now = clock::now();
        for name in end {
            if let Some(pod) = self.pods.get_mut(&name) {
                pod.end(&now, GRACE);
            }
        }
        self.remove_ended();
        for name in start {
            let Some(asked) = wanted.get(&name) else { continue };
            match self.make(asked.clone()) {
                Ok(pod) => {
                    if let Some(failure) = &pod.failure {
                        self.console.problem(format_args!("{}/{} cannot be run: {failure}", name.0, name.1));
                    }
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

    /// Says once that there is no place for a pod.
    fn refuse(&mut self, name: PodName, reason: String) {
        if self.refused.get(&name) != Some(&reason) {
            self.console.problem(format_args!("{}/{} has no place: {reason}", name.0, name.1));
            self.refused.insert(name, reason);
        }
    }

    /// The pods there should be by now. Sets the services, too.
    fn wanted(&mut self) -> Result<BTreeMap<PodName, Pod>> {
        let (mesh, settings) = (&self.mesh, &self.settings.programs);
        let mut wanted = vec![programs::controller(mesh)?];
        if self.stage >= Stage::Nodes {
            for node in 1..=self.network.nodes() {
                wanted.push(programs::node_agent(mesh, node)?);
                wanted.push(programs::ztunnel(mesh, node, settings)?);
            }
        }
        let template = programs::waypoint_template(mesh, settings);
        let objects = self.objects.all();
        let made = expand(&objects, &MeshSettings::default(), &template);
        self.services.clear();
        for object in objects.into_iter().chain(made) {
            match object {
                Object::Service(service) => {
                    let (namespace, name) = services::name_of(&service);
                    self.services.insert((namespace.to_owned(), name.to_owned()), *service);
                }
                Object::Pod(pod) if self.stage >= Stage::Pods => wanted.push(*pod),
                _ => {}
            }
        }
        Ok(wanted.into_iter().map(|pod| (rollout::name_of(&pod), pod)).collect())
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

    /// Makes a pod: its network, its files and its processes, which wait to be admitted.
    fn make(&mut self, asked: Pod) -> Result<RunningPod> {
        self.notice(&asked);
        let site = self.place(&asked)?;
        let (uid, created) = (new_uid(), clock::now());
        let mut shown = asked.clone();
        let (namespace, _) = rollout::name_of(&asked);
        shown.metadata.namespace = Some(namespace.clone());
        shown.metadata.uid = Some(uid.clone());
        shown.spec.get_or_insert_default().node_name = Some(site.node_name.clone());
        shown.status.get_or_insert_default().pod_ip = Some(site.address.to_string());
        if programs::needs_token(&asked) {
            self.write_token(&shown, &site)?;
        }
        let planned = self.write_files(&shown, &site).and_then(|files| {
            let planning = Planning {
                mesh: &self.mesh,
                images: &self.settings.images,
                environment: Surroundings {
                    pod: &shown,
                    host: site.node_address,
                    data: self.objects.data(),
                    services: self.service_variables(&namespace),
                },
                netns: site.netns.path(),
                files,
            };
            pod::plan(&shown, &planning)
        });
        Ok(match planned {
            Ok(plan) => {
                let pod = RunningPod::start(asked, uid, created, site, plan, self.changed.clone());
                if !pod.site.has_own_network {
                    pod.admit();
                }
                pod
            }
            Err(error) => RunningPod::failed(asked, uid, created, site, format!("{error:#}")),
        })
    }

    /// The node a pod asks for, else the one with the fewest.
    fn place(&mut self, asked: &Pod) -> Result<Site> {
        let spec = asked.spec.as_ref().context("the pod has no spec")?;
        let shares = spec.host_network == Some(true);
        if shares && spec.node_name.as_deref() == Some(CONTROL_PLANE) {
            return Ok(Site {
                node: 0,
                node_name: CONTROL_PLANE.to_owned(),
                node_address: CONTROLLER,
                address: CONTROLLER,
                netns: self.network.fabric().clone(),
                has_own_network: false,
            });
        }
        let node = match spec.node_name.as_deref() {
            Some(name) => self.find_node(name)?,
            None => self.emptiest_node()?,
        };
        let node_address = addresses::node(node);
        let (address, netns) = match shares {
            true => (node_address, self.network.node(node).context("the node has no network")?.clone()),
            false => self.make_network(node)?,
        };
        Ok(Site { node, node_name: node_name(node), node_address, address, netns, has_own_network: !shares })
    }

    fn make_network(&mut self, node: u8) -> Result<(Ipv4Addr, Netns)> {
        let address = self.addresses.take_pod(node)?;
        Ok((address, self.network.make_pod(node, address)?))
    }

    fn emptiest_node(&self) -> Result<u8> {
        let pods = |node: u8| self.pods.values().filter(|pod| pod.site.node == node).count();
        (1..=self.network.nodes()).min_by_key(|node| pods(*node)).context("there is no node")
    }

    /// The files that a pod's processes find in place of the machine's.
    fn write_files(&self, pod: &Pod, site: &Site) -> Result<Vec<(PathBuf, PathBuf)>> {
        let (namespace, _) = rollout::name_of(pod);
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let hosts = self.mesh.hosts().join(uid);
        let text = self.hosts_text(pod, site.address);
        fs::write(&hosts, text).with_context(|| files::shown(&hosts))?;
        let resolver = self.mesh.hosts().join(format!("resolv.{namespace}"));
        files::write_if_changed(&resolver, &crate::local::hosts::resolver(&namespace))?;
        Ok(vec![(hosts, "/etc/hosts".into()), (resolver, "/etc/resolv.conf".into())])
    }

    /// The hosts file of a pod as it has to be now.
    pub(super) fn hosts_text(&self, pod: &Pod, address: Ipv4Addr) -> String {
        let (namespace, name) = rollout::name_of(pod);
        let aliases = pod.spec.iter().flat_map(|spec| spec.host_aliases.iter().flatten());
        let aliases = aliases.filter_map(|alias| {
            Some((alias.ip.parse::<IpAddr>().ok()?, alias.hostnames.clone().unwrap_or_default()))
        });
        let aliases: Vec<_> = aliases.collect();
        crate::local::hosts::text(&namespace, &name, address, &aliases, &self.named_services())
    }

    fn service_variables(&self, namespace: &str) -> BTreeMap<String, String> {
        let own = self.services.iter().filter(|((home, _), _)| home == namespace);
        environment::service_variables(own.filter_map(|((_, name), service)| {
            let address = cluster_ip(service)?;
            let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
            Some((name.as_str(), address, ports.map(|port| (port.name.as_deref(), port.port)).collect()))
        }))
    }

    pub(super) fn token_path(&self, (namespace, name): &PodName) -> PathBuf {
        self.mesh.tokens().join(format!("{namespace}.{name}"))
    }

    fn write_token(&mut self, pod: &Pod, site: &Site) -> Result<()> {
        let name = rollout::name_of(pod);
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
        let bearer = Bearer {
            namespace: name.0.clone(),
            service_account: account.filter(|it| !it.is_empty()).unwrap_or_else(|| "default".to_owned()),
            pod: name.1.clone(),
            pod_uid: pod.metadata.uid.clone().unwrap_or_default(),
            node: site.node_name.clone(),
        };
        self.issuer.write(&bearer, &self.token_path(&name))?;
        self.published.tokens.insert(name, (bearer, Instant::now()));
        Ok(())
    }

    /// Writes tokens anew long before they expire.
    pub(super) fn renew_tokens(&mut self) -> Result<()> {
        let paths: Vec<_> = self.published.tokens.keys().cloned().collect();
        for name in paths {
            let path = self.token_path(&name);
            let Some((bearer, written)) = self.published.tokens.get_mut(&name) else { continue };
            if !self.pods.contains_key(&name) {
                self.published.tokens.remove(&name);
            } else if written.elapsed() >= tokens::RENEWAL {
                self.issuer.write(bearer, &path)?;
                *written = Instant::now();
            }
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

    /// Names fields without effect, each once.
    fn notice(&mut self, pod: &Pod) {
        if programs::is_waypoint(pod) {
            return;
        }
        let ignored = pod::ignored_fields(pod);
        let new: Vec<_> =
            ignored.difference(&self.noticed).copied().filter(|field| *field != "hostNetwork").collect();
        if !new.is_empty() {
            self.console
                .step(format_args!("fields without effect on this machine are ignored: {}", new.join(", ")));
            self.noticed.extend(new);
        }
    }
}

/// The address of a service that has one of its own.
pub(super) fn cluster_ip(service: &Service) -> Option<Ipv4Addr> {
    service.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok()
}

/// A random uid in the form of Kubernetes (UUID version 4).
fn new_uid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = bytes.map(|byte| format!("{byte:02x}")).concat();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
