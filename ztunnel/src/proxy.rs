//! The proxy of one pod: its listeners inside the pod's network namespace, a
//! set for every worker, and what every connection of the pod needs.

mod accept;
mod listeners;
mod pod;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mesh_model::Identity;
use mesh_net::namespace::Namespace;
use mesh_runtime::drain::{self, DrainTrigger, DrainWatcher, Mode};
use mesh_telemetry::PodMetrics;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::connections::Connections;
use crate::zds::PodInfo;
use crate::{dns, inbound, outbound};
use accept::accept_all;
use listeners::Listeners;
pub(crate) use pod::{ConnectFailure, Lane, Mesh, Pod, Settings};

/// Starts proxies on the workers.
pub(crate) struct Launcher {
    mesh: Arc<Mesh>,
    workers: Vec<Handle>,
    metrics: PodMetrics,
    /// Counts pods, so that their names are spread over the workers.
    started: AtomicUsize,
}

/// The running proxy of one pod. Dropping it closes its listeners and connections at once.
pub(crate) struct PodProxy {
    trigger: DrainTrigger,
    connections: Arc<Connections>,
    _running: Running,
}

/// Counts the proxy as stopped once it is dropped.
struct Running(PodMetrics);

impl Launcher {
    pub(crate) fn new(mesh: Arc<Mesh>, workers: Vec<Handle>, metrics: PodMetrics) -> Self {
        Launcher { mesh, workers, metrics, started: AtomicUsize::new(0) }
    }

    /// Who a pod is by what the node agent says of it.
    pub(crate) fn identity_of(&self, info: &PodInfo) -> Identity {
        let domain = Arc::clone(&self.mesh.settings.trust_domain);
        Identity::new(domain, Arc::clone(&info.namespace), Arc::clone(&info.service_account))
    }

    /// Fails when a port is taken; then nothing of the proxy is left.
    pub(crate) fn start(
        &self,
        info: &PodInfo,
        identity: &Identity,
        namespace: &Namespace,
    ) -> io::Result<PodProxy> {
        let settings = &self.mesh.settings;
        let sets = Listeners::open(namespace, self.workers.len(), settings.ipv6, &settings.sockets)?;
        let names = dns::Listeners::open(namespace, &self.mesh.names.listen, &settings.sockets)?;
        let pod = Arc::new(Pod::new(info, identity.clone(), namespace.clone(), Arc::clone(&self.mesh)));
        let (trigger, watcher) = drain::channel();
        for (worker, listeners) in self.workers.iter().zip(sets) {
            serve(worker, &pod, listeners, &watcher);
        }
        let turn = self.started.fetch_add(1, Ordering::Relaxed);
        if let Some(worker) = self.workers.get(turn % self.workers.len().max(1)) {
            serve_names(worker, &pod, names, &watcher);
        }
        self.metrics.started.inc();
        let connections = Arc::clone(&pod.connections);
        Ok(PodProxy { trigger, connections, _running: Running(self.metrics.clone()) })
    }
}

/// Has a worker serve its share of a pod's connections.
fn serve(worker: &Handle, pod: &Arc<Pod>, listeners: Listeners, drain: &DrainWatcher) {
    let lane = Lane::new(pod);
    let outbound = move |stream| outbound::serve(lane.clone(), stream);
    worker.spawn(accept_all(listeners.outbound, drain.clone(), outbound));

    let of = Arc::clone(pod);
    let plaintext = move |stream| inbound::serve_plaintext(Arc::clone(&of), stream);
    worker.spawn(accept_all(listeners.inbound_plaintext, drain.clone(), plaintext));

    let (of, watcher) = (Arc::clone(pod), drain.clone());
    let handshakes = Arc::new(Semaphore::new(inbound::MOST_HANDSHAKES));
    let hbone =
        move |stream| inbound::serve_hbone(Arc::clone(&of), Arc::clone(&handshakes), stream, watcher.clone());
    worker.spawn(accept_all(listeners.hbone, drain.clone(), hbone));
}

/// Has one worker answer all questions of a pod: they are few, and share a cache.
fn serve_names(worker: &Handle, pod: &Arc<Pod>, listeners: dns::Listeners, drain: &DrainWatcher) {
    for socket in listeners.udp {
        worker.spawn(dns::serve_udp(socket, Arc::clone(&pod.resolver), drain.clone()));
    }
    for listener in listeners.tcp {
        let (resolver, watcher) = (Arc::clone(&pod.resolver), drain.clone());
        let converse = move |stream| dns::serve_tcp(Arc::clone(&resolver), stream, watcher.clone());
        worker.spawn(accept_all(listener, drain.clone(), converse));
    }
}

impl PodProxy {
    /// Takes nothing new and waits until the connections have ended, or the deadline.
    pub(crate) async fn drain(self, deadline: Duration) {
        self.trigger.start(Mode::Graceful, deadline).await;
    }

    pub(crate) fn connections(&self) -> Arc<Connections> {
        Arc::clone(&self.connections)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stopped.inc();
    }
}
