//! What is told of waypoints that cannot be deployed: in the statuses of their Gateways and, once, in the log.

use std::collections::BTreeMap;

use controller_translate::{Name, Obstacle};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::source::Event;

/// Why a waypoint is not what it should be.
#[derive(Debug)]
pub(super) enum Failure {
    /// Somebody has to mend something.
    Obstacle(Obstacle),
    /// Nothing is known of the Gateway, for instance because the API server did not answer.
    Passing(String),
}

/// What was told last of each Gateway, and whom to tell.
pub(super) struct Verdicts {
    events: mpsc::Sender<Event>,
    told: BTreeMap<Name, Obstacle>,
}

impl Verdicts {
    pub(super) fn new(events: mpsc::Sender<Event>) -> Self {
        Verdicts { events, told: BTreeMap::new() }
    }

    /// Tells what is in the way of a waypoint, or that nothing is any more, if that is news.
    pub(super) async fn tell(&mut self, gateway: &Name, obstacle: Option<Obstacle>) {
        if self.told.get(gateway) == obstacle.as_ref() {
            return;
        }
        match &obstacle {
            Some(Obstacle::Parameters(text) | Obstacle::Objects(text)) => {
                warn!("cannot deploy waypoint {gateway}: {text}");
                self.told.extend(obstacle.clone().map(|obstacle| (gateway.clone(), obstacle)));
            }
            None => {
                info!("nothing is in the way of waypoint {gateway} any more");
                self.told.remove(gateway);
            }
        }
        // Without a reader the controller is about to end.
        let _ = self.events.send(Event::Obstacle(gateway.clone(), obstacle)).await;
    }

    /// Takes back what was told of Gateways that ask for no waypoint any more.
    pub(super) async fn retain(&mut self, asks: impl Fn(&Name) -> bool) {
        let gone: Vec<Name> = self.told.keys().filter(|gateway| !asks(gateway)).cloned().collect();
        for gateway in gone {
            self.tell(&gateway, None).await;
        }
    }
}
