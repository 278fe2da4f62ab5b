//! What others are told by files: pods and services to the controller, records to the node agents, names
//! to the pods; and the rules of the nodes for services.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Supervisor;
use super::reconcile::cluster_ip;
use crate::local::files::{self, shown};
use crate::local::hosts::Named;
use crate::local::poll::{Change, Polled};
use crate::local::rollout::PodName;
use crate::local::services::{self, Backend};
use crate::local::tokens::Bearer;
use crate::local::vips;
use crate::local::{network, tools};

/// What has been told so far, to tell only what changes.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// Texts of hosts files by pod uid.
    hosts: BTreeMap<String, String>,
    ruleset: String,
    /// Who has a token, and since when.
    pub(super) tokens: BTreeMap<PodName, (Bearer, Instant)>,
}

impl Published {
    /// The pod is gone.
    pub(super) fn forget(&mut self, uid: &str) {
        self.hosts.remove(uid);
    }
}

impl Supervisor {
    /// Brings every file and rule up to date.
    pub(super) fn publish(&mut self) -> Result<()> {
        self.announce();
        self.publish_services()?;
        self.publish_hosts()?;
        self.publish_rules()?;
        // Last: who reads that a pod is ready may rely on the rest.
        self.publish_pods()
    }

    fn publish_pods(&self) -> Result<()> {
        for ((namespace, name), pod) in &self.pods {
            let labels = self.objects.namespace_labels(namespace);
            let record = self.mesh.node(&pod.site.node_name).join("pods").join(pod.record_name());
            if pod.site.node > 0 && pod.failure.is_none() {
                files::write_if_changed(&record, &pod.record(&labels).to_string())?;
            }
            let file = self.mesh.runtime().join("pods").join(format!("{namespace}.{name}.yaml"));
            let document = pod.document()?;
            files::write_if_changed(&file, &serde_saphyr::to_string(&document)?)?;
        }
        Ok(())
    }

    /// Services with their addresses; those that follow from Gateways are told of nowhere else.
    fn publish_services(&self) -> Result<()> {
        let directory = self.mesh.runtime().join("services");
        for ((namespace, name), service) in &self.services {
            let mut document = serde_json::to_value(service)?;
            document["metadata"]["namespace"] = Value::from(namespace.as_str());
            let file = directory.join(format!("{namespace}.{name}.yaml"));
            files::write_if_changed(&file, &serde_saphyr::to_string(&document)?)?;
        }
        for change in Polled::new(directory.clone(), ".yaml").changes() {
            let Change::Written(file) = change else { continue };
            let named = file.trim_end_matches(".yaml").split_once('.');
            let is_known = named.is_some_and(|(namespace, name)| {
                self.services.contains_key(&(namespace.to_owned(), name.to_owned()))
            });
            if !is_known {
                files::remove(&directory.join(file))?;
            }
        }
        Ok(())
    }

    fn backends(&self) -> Vec<Backend> {
        let pods = self.pods.values().filter(|pod| pod.failure.is_none() && pod.ending.is_none());
        pods.map(|pod| Backend::new(&pod.asked, pod.site.address, pod.is_ready())).collect()
    }

    pub(super) fn named_services(&self) -> Vec<Named> {
        let backends = self.backends();
        self.services.values().map(|it| services::named(it, cluster_ip(it), &backends)).collect()
    }

    fn publish_hosts(&mut self) -> Result<()> {
        let texts: Vec<_> = self
            .pods
            .values()
            .map(|pod| (pod.uid.clone(), self.hosts_text(&pod.asked, pod.site.address)))
            .collect();
        for (uid, text) in texts {
            if self.published.hosts.get(&uid) != Some(&text) {
                write_in_place(&self.mesh.hosts().join(&uid), &text)?;
                self.published.hosts.insert(uid, text);
            }
        }
        Ok(())
    }

    fn publish_rules(&mut self) -> Result<()> {
        let backends = self.backends();
        let services = self.services.values().filter_map(|it| Some((it, cluster_ip(it)?)));
        let vips: Vec<_> =
            services.flat_map(|(it, address)| services::vips(it, address, &backends)).collect();
        let ruleset = vips::ruleset(&vips);
        if self.published.ruleset != ruleset {
            for node in 1..=self.network.nodes() {
                let netns = self.network.node(node).context("the node has no network")?;
                tools::nft(netns.namespace(), &ruleset).with_context(|| network::node_name(node))?;
            }
            self.published.ruleset = ruleset;
        }
        Ok(())
    }

    /// Says which pods have become ready, each once.
    fn announce(&mut self) {
        for ((namespace, name), pod) in self.pods.iter().filter(|(_, pod)| pod.is_ready()) {
            if self.announced.insert(pod.uid.clone()) {
                let (node, address) = (&pod.site.node_name, pod.site.address);
                self.console.step(format_args!("{namespace}/{name} is ready on {node} ({address})"));
            }
        }
    }
}

/// Changes a file that is mounted elsewhere: renaming another into its place would not be seen there.
fn write_in_place(path: &Path, text: &str) -> Result<()> {
    let write = || {
        let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(path)?;
        file.write_all(text.as_bytes())?;
        file.set_len(text.len() as u64)
    };
    write().with_context(|| shown(path))
}
