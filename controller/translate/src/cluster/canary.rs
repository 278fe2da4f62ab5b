//! A second waypoint that takes a share of a service's new connections, to be tried out beside the first (WP-19).

use super::Cluster;
use super::attachment::{Attachment, Refusal, Waypoint, is_none};
use super::mesh_service::ServiceObject;
use super::table::{Facts, Name};
use crate::labels;

/// How a service stands to the canary that labels name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Canary {
    /// None is asked for, or there is no waypoint that it could stand beside.
    Unasked,
    /// It takes its share.
    Bound {
        /// The canary.
        waypoint: Waypoint,
        /// In per cent.
        weight: u32,
    },
    /// One is asked for, but cannot be used: the waypoint takes everything (WP-21).
    Refused {
        /// The Gateway that was asked for.
        gateway: Name,
        /// Why not.
        refusal: CanaryRefusal,
    },
}

/// Why a canary is not used (WP-25).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CanaryRefusal {
    /// As any waypoint would be refused.
    Waypoint(Refusal),
    /// Its weight, which is this, is no whole number from 0 to 100.
    Weight(String),
    /// It is the waypoint itself.
    SameAsPrimary,
}

impl Cluster {
    /// The canary beside the waypoint for traffic addressed to a service.
    pub(crate) fn canary_of_service(&self, object: ServiceObject<'_>) -> Canary {
        let Attachment::Bound(primary) = self.attachment_of_service(object) else { return Canary::Unasked };
        let namespace = &object.name().namespace;
        let Some((gateway, by)) = self.canary_of(namespace, object.facts()) else { return Canary::Unasked };
        let refused = |gateway, refusal| Canary::Refused { gateway, refusal };
        if gateway == primary.gateway {
            return refused(gateway, CanaryRefusal::SameAsPrimary);
        }
        let written = by.annotation(labels::CANARY_WEIGHT).unwrap_or("0");
        let Some(weight) = written.parse::<u32>().ok().filter(|weight| *weight <= 100) else {
            return refused(gateway, CanaryRefusal::Weight(written.to_owned()));
        };
        match self.bind_service(gateway.clone(), object) {
            Attachment::Bound(waypoint) => Canary::Bound { waypoint, weight },
            Attachment::Refused { gateway, refusal } => refused(gateway, CanaryRefusal::Waypoint(refusal)),
            Attachment::Unasked => Canary::Unasked,
        }
    }

    /// The Gateway that a service's labels name as a canary, or else those of its namespace.
    pub(crate) fn canary_asked_for(&self, namespace: &str, facts: &Facts) -> Option<Name> {
        self.canary_of(namespace, facts).map(|(gateway, _)| gateway)
    }

    /// With the facts of the one that names it. A namespace's canary stands beside the namespace's waypoint only.
    fn canary_of<'a>(&'a self, namespace: &str, facts: &'a Facts) -> Option<(Name, &'a Facts)> {
        let named = |by: &'a Facts| {
            let name = by.label(labels::CANARY).filter(|name| !name.is_empty())?;
            let in_namespace = by.label(labels::CANARY_NAMESPACE).unwrap_or(namespace);
            Some((Name::new(in_namespace, name), by))
        };
        let inherits = facts.label(labels::USE_WAYPOINT).is_none_or(str::is_empty);
        let inherited = || named(&self.namespaces.get(namespace).filter(|_| inherits)?.facts);
        named(facts).or_else(inherited).filter(|(gateway, _)| !is_none(&gateway.name))
    }
}
