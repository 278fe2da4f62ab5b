//! One pod: waits until its traffic is captured, runs its init containers one after the other and then
//! its containers side by side, until it is told to stop.

mod container;
mod plan;
mod probe;
mod process;
mod status;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use mesh_net::namespace::Namespace;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(super) use plan::{Planning, PodPlan, ignored_fields, plan};
pub(super) use status::{Board, ContainerStatus, Phase, PodStatus, State};

/// Where a pod's containers run.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) namespace: Namespace,
    pub(super) address: Ipv4Addr,
}

/// What a pod is told while it runs.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    /// Its traffic is captured, or is not to be: it may start.
    pub(super) admitted: watch::Receiver<bool>,
    /// It is to end, within this time.
    pub(super) stop: watch::Receiver<Option<Duration>>,
}

impl Orders {
    /// Waits for the order to end. Whoever gave up giving orders wants an end too.
    async fn stopped(&mut self) -> Duration {
        match self.stop.wait_for(Option::is_some).await {
            Ok(grace) => grace.unwrap_or_default(),
            Err(_) => Duration::ZERO,
        }
    }
}

/// Runs a pod; returns when nothing of it runs any more.
pub(super) async fn run(plan: PodPlan, place: Place, mut orders: Orders, board: Arc<Board>) {
    let admitted = tokio::select! {
        admitted = orders.admitted.wait_for(|admitted| *admitted) => admitted.is_ok(),
        _ = orders.stop.wait_for(Option::is_some) => false,
    };
    let mut sidecars = JoinSet::new();
    if admitted && initialise(&plan, &place, &orders, &board, &mut sidecars).await {
        let mut containers = JoinSet::new();
        for container in plan.containers {
            containers.spawn(container::run(container, place.clone(), orders.clone(), board.clone()));
        }
        board.initialised();
        containers.join_all().await;
    }
    // Sidecars outlive the containers they serve, and no longer.
    let ended = sidecars.is_empty();
    if !ended {
        orders.stopped().await;
        sidecars.join_all().await;
    }
    board.ended();
}

/// Runs the init containers; whether all did what they had to.
async fn initialise(
    plan: &PodPlan,
    place: &Place,
    orders: &Orders,
    board: &Arc<Board>,
    sidecars: &mut JoinSet<Option<i32>>,
) -> bool {
    for container in &plan.init {
        let run = container::run(container.clone(), place.clone(), orders.clone(), board.clone());
        if container.is_sidecar {
            sidecars.spawn(run);
            let started = board.wait_started(&container.name);
            let mut orders = orders.clone();
            tokio::select! {
                () = started => {}
                _ = orders.stopped() => return false,
            }
        } else if run.await != Some(0) {
            return false;
        }
    }
    true
}
