//! The conversation with the node agent, which says what pods the node has and
//! hands over their network namespaces (wire.md §6). The agent listens, ztunnel connects.

mod message;
mod packet;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mesh_runtime::drain::DrainWatcher;
use mesh_runtime::readiness::{Readiness, ReadinessTask};
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

#[cfg(fuzzing)]
pub(crate) use message::ack;
pub(crate) use message::{AddedPod, Message, PodInfo};
pub(crate) use packet::Packet;
use packet::PacketSocket;

use crate::pods::{Keeper, Rejected};

const FIRST_RETRY: Duration = Duration::from_millis(10);
const LAST_RETRY: Duration = Duration::from_secs(15);
/// When pods whose proxy could not be started are tried again.
const PENDING_RETRY: Duration = Duration::from_secs(5);
const READINESS_TASK: &str = "workload proxy manager";

/// Why a conversation ended.
#[derive(Debug, Error)]
enum Ended {
    /// The agent went away.
    #[error("the node agent closed the connection")]
    Closed,
    /// The socket failed.
    #[error("the connection to the node agent failed: {0}")]
    Socket(#[from] io::Error),
    /// The agent said something that has no meaning.
    #[error("the node agent broke the protocol: {0}")]
    Protocol(String),
}

/// Follows the node agent until the drain starts; then drains every pod.
pub(crate) async fn follow(
    socket: PathBuf,
    mut keeper: Keeper,
    readiness: Readiness,
    drain: DrainWatcher,
    drain_deadline: Duration,
) {
    let mut unready = Some(readiness.register(READINESS_TASK));
    let mut retry = FIRST_RETRY;
    loop {
        let conversation = converse(&socket, &mut keeper, &readiness, &mut unready, &mut retry);
        let ended = tokio::select! {
            biased;
            _ = drain.signaled() => break,
            ended = conversation => ended,
        };
        unready.get_or_insert_with(|| readiness.register(READINESS_TASK));
        warn!(socket = %socket.display(), retry_in = ?retry, "{ended}");
        tokio::select! {
            biased;
            _ = drain.signaled() => break,
            () = keep_trying_pending(&mut keeper) => {}
            () = sleep(retry) => {}
        }
        retry = (retry * 2).min(LAST_RETRY);
    }
    info!(pods = keeper.len(), "draining");
    keeper.drain(drain_deadline).await;
}

/// One connection from hello to its end.
async fn converse(
    path: &std::path::Path,
    keeper: &mut Keeper,
    readiness: &Readiness,
    unready: &mut Option<ReadinessTask>,
    retry: &mut Duration,
) -> Ended {
    let socket = match PacketSocket::connect(path) {
        Ok(socket) => socket,
        Err(error) => return Ended::Socket(error),
    };
    if let Err(error) = socket.send(&message::hello()).await {
        return Ended::Socket(error);
    }
    info!("connected to the node agent");
    keeper.begin_snapshot();
    let mut next_try = Instant::now() + PENDING_RETRY;
    loop {
        let received = tokio::select! {
            received = socket.receive() => Some(received),
            () = keeper.certificate_arrived() => None,
            () = sleep_until(next_try) => None,
        };
        let Some(received) = received else {
            next_try = Instant::now() + PENDING_RETRY;
            keeper.retry_pending();
            mark(keeper, readiness, unready);
            continue;
        };
        let outcome = match received {
            Ok(Some(packet)) => act(keeper, packet),
            Ok(None) => return Ended::Closed,
            Err(error) => return Ended::Socket(error),
        };
        // Before the answer: who has it must find us as ready as it says.
        mark(keeper, readiness, unready);
        if let Err(ended) = answer(&socket, outcome).await {
            return ended;
        }
        // A conversation that gets this far is worth a quick reconnect.
        *retry = FIRST_RETRY;
    }
}

fn act(keeper: &mut Keeper, packet: Packet) -> Result<(), Rejected> {
    let message = Message::decode(packet).map_err(|malformed| Rejected::Protocol(malformed.to_string()))?;
    debug!(?message, "received");
    keeper.apply(message)
}

/// Acknowledges a packet, or says why not.
async fn answer(socket: &PacketSocket, outcome: Result<(), Rejected>) -> Result<(), Ended> {
    let Err(rejected) = outcome else { return Ok(socket.send(&message::ack(None)).await?) };
    socket.send(&message::ack(Some(rejected.to_string()))).await?;
    match rejected {
        Rejected::Protocol(reason) => Err(Ended::Protocol(reason)),
        // Told; the pod stays pending and is tried again.
        Rejected::NotStarted { .. } => Ok(()),
    }
}

/// Ready means: a whole snapshot is known and every pod in it has its proxy (UP-13).
fn mark(keeper: &Keeper, readiness: &Readiness, unready: &mut Option<ReadinessTask>) {
    if keeper.is_settled() {
        *unready = None;
    } else {
        unready.get_or_insert_with(|| readiness.register(READINESS_TASK));
    }
}

/// Pods that are known are worth serving while the agent is away.
async fn keep_trying_pending(keeper: &mut Keeper) {
    loop {
        tokio::select! {
            () = keeper.certificate_arrived() => {}
            () = sleep(PENDING_RETRY) => {}
        }
        keeper.retry_pending();
    }
}
