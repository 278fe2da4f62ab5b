//! Why waypoints that Gateways ask for cannot be deployed. Whoever deploys them finds that out, and it is part of
//! the picture so that a Gateway's status stays a function of the picture.

use super::{Affected, Cluster, Kind, Name, ObjectKey};

/// What has to be mended before a waypoint is what its Gateway asks for; each a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// What is said about its objects cannot be used.
    Parameters(String),
    /// Its objects cannot be made: one is there and is somebody else's, or is refused.
    Objects(String),
}

impl Cluster {
    /// From now on somebody deploys waypoints and tells what is in the way.
    pub fn expect_deployment(&mut self) {
        self.obstacles.get_or_insert_default();
    }

    /// Notes what is in the way of a Gateway's waypoint, if anything; what that affects.
    pub fn set_obstacle(&mut self, gateway: &Name, obstacle: Option<Obstacle>) -> Affected {
        let obstacles = self.obstacles.get_or_insert_default();
        let before = match obstacle.clone() {
            Some(obstacle) => obstacles.insert(gateway.clone(), obstacle),
            None => obstacles.remove(gateway),
        };
        let mut affected = Affected::default();
        if before != obstacle {
            let key = ObjectKey::new(Kind::Gateway, gateway.namespace.clone(), gateway.name.clone());
            affected.statuses.insert(key);
        }
        affected
    }

    pub(crate) fn obstacle_of(&self, gateway: &Name) -> Option<&Obstacle> {
        self.obstacles.as_ref()?.get(gateway)
    }

    /// Whether anybody reads the parameters that Gateways name.
    pub(crate) fn reads_parameters(&self) -> bool {
        self.obstacles.is_some()
    }
}
