//! The side of the only one who changes things.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use mesh_model::{
    NamespacedHostname, Policy, PolicyKey, Security, Service, ServiceConfig, Uid, WaypointConfig,
    WaypointKey, Workload,
};
use tokio::sync::watch;

use crate::former;
use crate::intern::Interner;
use crate::reader::Shared;
use crate::{
    AddressHandler, AuthorizationHandler, Reader, ServiceConfigHandler, Snapshot, WaypointConfigHandler,
};

/// Applies batches of changes; readers see each batch at once.
pub struct Writer {
    store: Arc<Mutex<Store>>,
}

pub(crate) struct Store {
    snapshot: Snapshot,
    interner: Interner,
    shared: Arc<Shared>,
    /// Is shown states before readers are.
    make_ready: Option<MakeReady>,
}

type MakeReady = Box<dyn Fn(&Snapshot) + Send>;

pub(crate) fn store(snapshot: Snapshot) -> (Writer, Reader) {
    let shared = Arc::new(Shared {
        current: ArcSwap::from_pointee(snapshot.clone()),
        addresses: watch::Sender::new(0),
        policies: watch::Sender::new(0),
        configs: watch::Sender::new(0),
    });
    let reader = Reader { shared: shared.clone() };
    let store = Store { snapshot, interner: Interner::new(), shared, make_ready: None };
    (Writer { store: Arc::new(Mutex::new(store)) }, reader)
}

impl Writer {
    /// Applies one batch.
    pub fn change(&self, change: impl FnOnce(&mut Edit<'_>)) {
        apply(&self.store, change);
    }

    /// Calls this with every state in which service configurations are different, before readers see it: what takes
    /// long to be made of them is made once, and nobody waits for it.
    pub fn make_ready(&self, make_ready: impl Fn(&Snapshot) + Send + 'static) {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.make_ready = Some(Box::new(make_ready));
    }

    /// Takes workloads and services from a discovery stream.
    pub fn address_handler(&self) -> AddressHandler {
        AddressHandler::new(self.store.clone())
    }

    /// Takes policies from a discovery stream.
    pub fn authorization_handler(&self) -> AuthorizationHandler {
        AuthorizationHandler::new(self.store.clone())
    }

    /// Takes service configurations from a discovery stream.
    pub fn service_config_handler(&self) -> ServiceConfigHandler {
        ServiceConfigHandler::new(self.store.clone())
    }

    /// Takes configurations of waypoints from a discovery stream.
    pub fn waypoint_config_handler(&self) -> WaypointConfigHandler {
        WaypointConfigHandler::new(self.store.clone())
    }
}

/// Applies one batch and shows it to the readers.
pub(crate) fn apply(store: &Mutex<Store>, change: impl FnOnce(&mut Edit<'_>)) {
    let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
    let Store { snapshot, interner, shared, make_ready } = &mut *store;
    let mut edit = Edit { snapshot, interner, addresses: false, policies: false, configs: false };
    change(&mut edit);
    let (addresses, policies, configs) = (edit.addresses, edit.policies, edit.configs);
    if addresses {
        let now = Instant::now();
        snapshot.left_by_workloads.prune(now);
        snapshot.left_by_services.prune(now);
    }
    if let Some(make_ready) = make_ready.as_ref().filter(|_| configs) {
        make_ready(snapshot);
    }
    if addresses || policies || configs {
        shared.current.store(Arc::new(snapshot.clone()));
    }
    for (changed, version) in
        [(addresses, &shared.addresses), (policies, &shared.policies), (configs, &shared.configs)]
    {
        if changed {
            version.send_modify(|version| *version += 1);
        }
    }
}

/// One batch of changes. What is inserted replaces what has the same name.
pub struct Edit<'a> {
    snapshot: &'a mut Snapshot,
    interner: &'a mut Interner,
    addresses: bool,
    policies: bool,
    configs: bool,
}

impl Edit<'_> {
    /// A workload is there, or is different.
    pub fn insert_workload(&mut self, mut workload: Workload) {
        if self.snapshot.workloads.find(&workload.uid).is_some_and(|known| **known == workload) {
            return;
        }
        self.interner.workload(&mut workload);
        self.update_workload(&workload.uid.clone(), Some(&Arc::new(workload)));
    }

    /// A workload is gone.
    pub fn remove_workload(&mut self, uid: &Uid) {
        if self.snapshot.workloads.find(uid).is_some() {
            self.update_workload(uid, None);
        }
    }

    fn update_workload(&mut self, uid: &Uid, new: Option<&Arc<Workload>>) {
        let old = self.snapshot.workloads.update(uid, new);
        self.snapshot.endpoints.update(old.as_deref(), new);
        self.addresses = true;
        if new.is_none() {
            self.snapshot.left_by_workloads.forget(uid);
        }
        if let (Some(old), Some(new)) = (&old, new) {
            self.policies |=
                old.authorization_policies != new.authorization_policies || old.namespace != new.namespace;
            let (old, new) = (former::of_workload(old), former::of_workload(new));
            self.snapshot.left_by_workloads.note(uid, old, new, Instant::now());
        }
    }

    /// A service is there, or is different.
    pub fn insert_service(&mut self, mut service: Service) {
        if self.snapshot.services.find(&service.key).is_some_and(|known| **known == service) {
            return;
        }
        self.interner.service(&mut service);
        let service = Arc::new(service);
        if let Some(old) = self.snapshot.services.update(&service.key, Some(&service)) {
            let (old, new) = (former::of_service(&old), former::of_service(&service));
            self.snapshot.left_by_services.note(&service.key, old, new, Instant::now());
        }
        self.addresses = true;
    }

    /// A service is gone. Its endpoints stay known, it may come back.
    pub fn remove_service(&mut self, key: &NamespacedHostname) {
        self.addresses |= self.snapshot.services.update(key, None).is_some();
        self.snapshot.left_by_services.forget(key);
    }

    /// A policy is there, or is different.
    pub fn insert_policy(&mut self, mut policy: Policy) {
        if self.snapshot.policies.find(&policy.key).is_some_and(|known| **known == policy) {
            return;
        }
        self.interner.policy(&mut policy);
        self.snapshot.policies.update(&policy.key.clone(), Some(&Arc::new(policy)));
        self.policies = true;
    }

    /// A policy is gone.
    pub fn remove_policy(&mut self, key: &PolicyKey) {
        self.policies |= self.snapshot.policies.update(key, None).is_some();
    }

    /// A service configuration is there, or is different.
    pub fn insert_service_config(&mut self, mut config: ServiceConfig) {
        if self.snapshot.configs.get(&config.key).is_some_and(|known| **known == config) {
            return;
        }
        self.interner.service_config(&mut config);
        self.snapshot.configs.insert_mut(config.key.clone(), Arc::new(config));
        self.configs = true;
    }

    /// A service configuration is gone.
    pub fn remove_service_config(&mut self, key: &NamespacedHostname) {
        self.configs |= self.snapshot.configs.remove_mut(key);
    }

    /// A waypoint's configuration is there, or is different.
    pub fn insert_waypoint_config(&mut self, config: WaypointConfig) {
        if self.snapshot.waypoint_configs.get(&config.key).is_some_and(|known| **known == config) {
            return;
        }
        self.snapshot.waypoint_configs.insert_mut(config.key.clone(), Arc::new(config));
        self.configs = true;
    }

    /// A waypoint's Gateway is gone: nothing holds for all its traffic any more. That is not the same as never
    /// having been told what does.
    pub fn empty_waypoint_config(&mut self, key: &WaypointKey) {
        if self.snapshot.waypoint_configs.contains_key(key) {
            self.insert_waypoint_config(WaypointConfig {
                key: key.clone(),
                security: Security::default(),
                authorization_services: Vec::new(),
                telemetry: Default::default(),
                forward_client_identity: false,
                rate_limits: Vec::new(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
