//! Waypoints in a cluster: the leader applies what Gateways ask for, puts right what others change,
//! and deletes what no Gateway wants any more.

mod config_maps;
mod deploy;
mod live;
mod merge;
mod parameters;
mod part;
mod plan;
mod template;
mod verdict;
mod wanted;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use controller_translate::Name;
use controller_translate::expand::{self, Waypoint};
use futures_util::StreamExt;
use kube::Client;
use kube::runtime::watcher;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{debug, warn};

use crate::picture::Picture;
use crate::source::Event;
use deploy::Waiting;
use live::LiveObjects;
use parameters::Parameters;
use part::Key;
use plan::Applied;
use template::TemplateFile;
use verdict::{Failure, Verdicts};
use wanted::Desired;

/// Changes come in bursts.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Between two rounds that write: somebody who always undoes what we do is not raced.
const PAUSE: Duration = Duration::from_millis(500);
/// What replaces an object gets ready before the object goes.
const MOURNING: Duration = Duration::from_secs(5);
/// How often the template is looked at.
const TEMPLATE_INTERVAL: Duration = Duration::from_secs(5);

/// Deploys waypoints as long as this replica leads.
pub struct Deployer {
    client: Client,
    picture: Arc<Picture>,
    leads: watch::Receiver<bool>,
    template: TemplateFile,
    parameters: Parameters,
    live: LiveObjects,
    /// What was applied last, and what it then looked like.
    applied: BTreeMap<Key, Applied>,
    /// Gateways that wait after a failure.
    waiting: BTreeMap<Name, Waiting>,
    verdicts: Verdicts,
    /// Since when objects are not wanted any more.
    unwanted: BTreeMap<Key, Instant>,
}

/// What one round found to do.
struct Round {
    waypoints: Vec<(Waypoint, Result<Desired, Failure>)>,
    /// Objects that are ours and that nobody wants.
    unwanted: BTreeSet<Key>,
}

impl Deployer {
    /// Deploys what the picture asks for, made from the template in that file; tells what is in the way.
    pub fn new(
        client: Client,
        picture: Arc<Picture>,
        leads: watch::Receiver<bool>,
        events: mpsc::Sender<Event>,
        template: PathBuf,
        namespace: &str,
    ) -> anyhow::Result<Self> {
        Ok(Deployer {
            client,
            picture,
            leads,
            template: TemplateFile::open(template)?,
            parameters: Parameters::new(namespace),
            live: LiveObjects::default(),
            applied: BTreeMap::new(),
            waiting: BTreeMap::new(),
            verdicts: Verdicts::new(events),
            unwanted: BTreeMap::new(),
        })
    }

    /// Goes on for ever.
    pub async fn run(mut self) {
        let mut objects = live::watch(&self.client);
        let mut config_maps = config_maps::watch(&self.client);
        let mut progress = self.picture.progress();
        let mut leads = self.leads.clone();
        let mut polls = interval(TEMPLATE_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next: Option<Instant> = None;
        let mut not_before = Instant::now();
        loop {
            tokio::select! {
                Some((part, event)) = objects.next() => match event {
                    Ok(event) => self.live.take(part, event),
                    Err(error) => {
                        explain(part.plural(), &error);
                        continue;
                    }
                },
                Some(event) = config_maps.next() => match event {
                    Ok(event) => if !self.parameters.take(event) { continue },
                    Err(error) => {
                        explain("configmaps", &error);
                        continue;
                    }
                },
                Ok(()) = progress.changed() => {}
                _ = polls.tick() => if !self.template.refresh() { continue },
                Ok(()) = leads.changed() => self.begin_anew(),
                () = at(next) => {
                    let (has_written, again) = self.reconcile().await;
                    if has_written {
                        not_before = Instant::now() + PAUSE;
                    }
                    next = again;
                    continue;
                }
            }
            let soon = (Instant::now() + DEBOUNCE).max(not_before);
            next = Some(next.map_or(soon, |next| next.min(soon)));
        }
    }

    /// Another leader may have written meanwhile.
    fn begin_anew(&mut self) {
        self.applied.clear();
        self.waiting.clear();
        self.unwanted.clear();
    }

    /// One round; whether something was written, and when to look again although nothing happens.
    async fn reconcile(&mut self) -> (bool, Option<Instant>) {
        if !self.picture.is_complete() || !self.live.is_complete() || !self.parameters.is_complete() {
            return (false, None);
        }
        let waypoints = expand::waypoints(&self.picture.read(), self.template.get());
        let due = self.parameters.due(waypoints.iter());
        for (due, read) in config_maps::read(&self.client, due).await {
            self.parameters.put(due, read);
        }
        let Round { waypoints, unwanted } = self.round(waypoints);
        let asks = |name: &Name| waypoints.iter().any(|(waypoint, _)| waypoint.gateway == *name);
        self.waiting.retain(|name, _| asks(name));
        self.verdicts.retain(asks).await;
        let mut has_written = false;
        for (waypoint, desired) in waypoints {
            has_written |= self.deploy(&waypoint, desired).await;
        }
        if *self.leads.borrow() {
            has_written |= self.remove(&unwanted).await;
        }
        let retries = self.waiting.values().map(|it| it.until);
        let removals = self.unwanted.values().map(|since| *since + MOURNING);
        (has_written, retries.chain(removals).min().map(|at| at.max(Instant::now() + DEBOUNCE)))
    }

    fn round(&self, waypoints: Vec<Waypoint>) -> Round {
        let waypoints: Vec<_> = waypoints
            .into_iter()
            .map(|waypoint| {
                let desired = wanted::desired(&waypoint, &self.parameters);
                (waypoint, desired)
            })
            .collect();
        let cluster = self.picture.read();
        let mut wanted = BTreeSet::new();
        for (waypoint, desired) in &waypoints {
            match desired {
                Ok(desired) => wanted.extend(desired.keys().cloned()),
                // Nothing goes because of a mistake.
                Err(_) => wanted.extend(wanted::keys(waypoint)),
            }
        }
        let revision = &cluster.settings().revision;
        let stays = |gateway: &Name| expand::stays(&cluster, gateway);
        let unwanted = plan::unwanted(self.live.iter(), &wanted, revision, stays);
        Round { waypoints, unwanted }
    }
}

/// Without these watches nothing is deployed.
fn explain(plural: &str, error: &watcher::Error) {
    match error {
        // The usual end of a watch that was quiet for long.
        watcher::Error::WatchError(status) if status.code == 410 => {
            debug!("the watch of {plural} is too old and begins anew");
        }
        error => warn!("cannot watch the {plural} of waypoints, trying again: {error}"),
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
