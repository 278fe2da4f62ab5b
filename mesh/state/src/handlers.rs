//! From a discovery stream into the store: each response is decoded outside the
//! lock and applied as one batch. What cannot be decoded is returned by name, and
//! what was known under that name stays (SEC-08).

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use mesh_model::codec::{address, authorization, service_config, waypoint_config};
use mesh_model::{AddressResource, DecodeError, NamespacedHostname, PolicyKey, Uid, WaypointKey};
use mesh_xds::{Handler, RawResource, Rejected};

use crate::writer::{Store, apply};

/// Takes workloads and services.
pub struct AddressHandler {
    store: Arc<Mutex<Store>>,
}

/// Takes policies.
pub struct AuthorizationHandler {
    store: Arc<Mutex<Store>>,
}

/// Takes service configurations.
pub struct ServiceConfigHandler {
    store: Arc<Mutex<Store>>,
}

/// Takes configurations of waypoints.
pub struct WaypointConfigHandler {
    store: Arc<Mutex<Store>>,
}

impl AddressHandler {
    pub(crate) fn new(store: Arc<Mutex<Store>>) -> Self {
        AddressHandler { store }
    }
}

impl AuthorizationHandler {
    pub(crate) fn new(store: Arc<Mutex<Store>>) -> Self {
        AuthorizationHandler { store }
    }
}

impl ServiceConfigHandler {
    pub(crate) fn new(store: Arc<Mutex<Store>>) -> Self {
        ServiceConfigHandler { store }
    }
}

impl WaypointConfigHandler {
    pub(crate) fn new(store: Arc<Mutex<Store>>) -> Self {
        WaypointConfigHandler { store }
    }
}

impl Handler for AddressHandler {
    fn type_url(&self) -> &'static str {
        address::TYPE_URL
    }

    fn apply(&mut self, upserts: Vec<RawResource>, removed: Vec<String>) -> Vec<Rejected> {
        let (resources, rejected) = decode(upserts, address::from_bytes, |resource| match resource {
            AddressResource::Workload(workload) => workload.uid.to_string(),
            AddressResource::Service(service) => service.key.to_string(),
        });
        apply(&self.store, |edit| {
            // First, so that a resource both removed and sent is there in the end (LB-13).
            for name in removed {
                edit.remove_workload(&Uid::from(name.as_str()));
                if let Ok(key) = name.parse::<NamespacedHostname>() {
                    edit.remove_service(&key);
                }
            }
            for resource in resources {
                match resource {
                    AddressResource::Workload(workload) => edit.insert_workload(workload),
                    AddressResource::Service(service) => edit.insert_service(service),
                }
            }
        });
        rejected
    }
}

impl Handler for AuthorizationHandler {
    fn type_url(&self) -> &'static str {
        authorization::TYPE_URL
    }

    fn apply(&mut self, upserts: Vec<RawResource>, removed: Vec<String>) -> Vec<Rejected> {
        let (policies, rejected) = decode(upserts, authorization::from_bytes, |policy| policy.key.clone());
        apply(&self.store, |edit| {
            for key in removed.iter().filter_map(|name| name.parse::<PolicyKey>().ok()) {
                edit.remove_policy(&key);
            }
            for policy in policies {
                edit.insert_policy(policy);
            }
        });
        rejected
    }
}

impl Handler for ServiceConfigHandler {
    fn type_url(&self) -> &'static str {
        service_config::TYPE_URL
    }

    fn apply(&mut self, upserts: Vec<RawResource>, removed: Vec<String>) -> Vec<Rejected> {
        let (configs, rejected) = decode(upserts, service_config::from_bytes, |config| config.key.clone());
        apply(&self.store, |edit| {
            for key in removed.iter().filter_map(|name| name.parse::<NamespacedHostname>().ok()) {
                edit.remove_service_config(&key);
            }
            for config in configs {
                edit.insert_service_config(config);
            }
        });
        rejected
    }
}

impl Handler for WaypointConfigHandler {
    fn type_url(&self) -> &'static str {
        waypoint_config::TYPE_URL
    }

    fn apply(&mut self, upserts: Vec<RawResource>, removed: Vec<String>) -> Vec<Rejected> {
        let (configs, rejected) = decode(upserts, waypoint_config::from_bytes, |config| config.key.clone());
        apply(&self.store, |edit| {
            for key in removed.iter().filter_map(|name| name.parse::<WaypointKey>().ok()) {
                edit.empty_waypoint_config(&key);
            }
            for config in configs {
                edit.insert_waypoint_config(config);
            }
        });
        rejected
    }
}

/// What can be used of a response. A resource has to carry the name it describes,
/// or it could never be removed again.
fn decode<T, N: Display>(
    upserts: Vec<RawResource>,
    from_bytes: impl Fn(&[u8]) -> Result<T, DecodeError>,
    name_of: impl Fn(&T) -> N,
) -> (Vec<T>, Vec<Rejected>) {
    let mut decoded = Vec::with_capacity(upserts.len());
    let mut rejected = Vec::new();
    for RawResource { name, bytes, .. } in upserts {
        match from_bytes(&bytes) {
            Ok(value) if name_of(&value).to_string() == name => decoded.push(value),
            Ok(value) => {
                rejected.push(Rejected { reason: format!("it describes {}", name_of(&value)), name })
            }
            Err(error) => rejected.push(Rejected { name, reason: error.to_string() }),
        }
    }
    (decoded, rejected)
}

#[cfg(test)]
mod tests;
