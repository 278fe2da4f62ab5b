//! Making a pod: a node for it, its network, its files, its token, its processes.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;

use super::Supervisor;
use super::reconcile::cluster_ip;
use super::running::{RunningPod, Site};
use crate::local::addresses::{self, CONTROLLER};
use crate::local::environment::{self, Surroundings};
use crate::local::network::{Netns, node_name};
use crate::local::pod::{self, Planning};
use crate::local::programs::{self, CONTROL_PLANE};
use crate::local::rollout::{self, PodName};
use crate::local::tokens::{self, Bearer};
use crate::local::{clock, files, hosts};

impl Supervisor {
    /// Makes a pod: its network, its files and its processes, which wait to be admitted.
    pub(super) fn make(&mut self, asked: Pod) -> Result<RunningPod> {
        let site = self.place(&asked)?;
        let (uid, created) = (new_uid(), clock::now());
        let mut shown = asked.clone();
        let (namespace, _) = rollout::name_of(&asked);
        shown.metadata.namespace = Some(namespace.clone());
        shown.metadata.uid = Some(uid.clone());
        shown.spec.get_or_insert_default().node_name = Some(site.node_name.clone());
        shown.status.get_or_insert_default().pod_ip = Some(site.address.to_string());
        let token = if programs::needs_token(&asked) { self.write_token(&shown, &site) } else { Ok(()) };
        let planned = token.and_then(|()| self.write_files(&shown, &site)).and_then(|files| {
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
        let made = self.network.make_pod(node, address);
        if made.is_err() {
            self.addresses.give_back_pod(address);
        }
        Ok((address, made?))
    }

    fn emptiest_node(&self) -> Result<u8> {
        let pods = |node: u8| self.pods.values().filter(|pod| pod.site.node == node).count();
        (1..=self.network.nodes()).min_by_key(|node| pods(*node)).context("there is no node")
    }

    /// The files that a pod's processes find in place of the machine's.
    fn write_files(&self, pod: &Pod, site: &Site) -> Result<Vec<(PathBuf, PathBuf)>> {
        let (namespace, _) = rollout::name_of(pod);
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let own_hosts = self.mesh.hosts().join(uid);
        let text = self.hosts_text(pod, site.address);
        fs::write(&own_hosts, text).with_context(|| files::shown(&own_hosts))?;
        let resolver = self.mesh.hosts().join(format!("resolv.{namespace}.{}", site.node));
        files::write_if_changed(&resolver, &hosts::resolver(&namespace, addresses::bridge(site.node)))?;
        Ok(vec![(own_hosts, "/etc/hosts".into()), (resolver, "/etc/resolv.conf".into())])
    }

    /// The hosts file of a pod as it has to be now.
    pub(super) fn hosts_text(&self, pod: &Pod, address: Ipv4Addr) -> String {
        let (namespace, name) = rollout::name_of(pod);
        let aliases = pod.spec.iter().flat_map(|spec| spec.host_aliases.iter().flatten());
        let aliases = aliases.filter_map(|alias| {
            Some((alias.ip.parse::<IpAddr>().ok()?, alias.hostnames.clone().unwrap_or_default()))
        });
        let aliases: Vec<_> = aliases.collect();
        hosts::text(&namespace, &name, address, &aliases, &self.named_services())
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
}

/// A random uid in the form of Kubernetes (UUID version 4).
fn new_uid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = bytes.map(|byte| format!("{byte:02x}")).concat();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
