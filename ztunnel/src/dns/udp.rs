//! Questions by datagram. What can be answered is answered on the spot; what has to wait waits
//! in a task of its own and holds up nothing else.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use mesh_net::socket::{CapturedUdp, Sent};
use mesh_runtime::drain::{DrainWatcher, Mode};
use mesh_telemetry::DnsProtocol;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::message::{Asked, LONGEST_QUESTION, Unanswerable};
use super::replies::Replies;
use super::resolver::Resolver;

/// Pause after a failure of the socket itself.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until the drain starts, and then what has arrived by then.
pub(crate) async fn serve_udp(socket: std::net::UdpSocket, resolver: Arc<Resolver>, drain: DrainWatcher) {
    let socket = match CapturedUdp::from_std(socket) {
        Ok(socket) => Arc::new(socket),
        Err(error) => return warn!(%error, "a socket for names cannot be used"),
    };
    let replies = Arc::new(resolver.replies(&socket));
    let (mut signaled, mut forced) = (pin!(drain.signaled()), pin!(drain.forced()));
    let mut waiting = JoinSet::new();
    let mut buffer = vec![0; LONGEST_QUESTION];
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            () = &mut forced => return,
            mode = &mut signaled, if !ending => {
                if mode == Mode::Immediate {
                    return;
                }
                ending = true;
            }
            Some(ended) = waiting.join_next() => {
                if let Err(error) = ended {
                    warn!(%error, "the task of a question failed");
                }
            }
            received = socket.receive(&mut buffer) => match received {
                Ok((length, sent)) => take(&replies, &resolver, &mut waiting, &buffer[..length], sent),
                Err(error) => {
                    warn!(%error, "cannot take questions");
                    sleep(PAUSE).await;
                }
            },
            // A successor has the port too, and whatever comes from now on.
            () = std::future::ready(()), if ending && waiting.is_empty() => return,
        }
    }
}

fn take(
    replies: &Arc<Replies>,
    resolver: &Arc<Resolver>,
    waiting: &mut JoinSet<()>,
    bytes: &[u8],
    sent: Sent,
) {
    let asked = match Asked::read(bytes) {
        Ok(asked) => asked,
        Err(Unanswerable::Ignored) => return,
        Err(Unanswerable::Refused(reply)) => return note(replies.try_send(&reply, sent), sent),
    };
    let mut reply = Box::pin(Arc::clone(resolver).reply(asked, DnsProtocol::udp));
    if let Some(reply) = (&mut reply).now_or_never() {
        return note(replies.try_send(&reply, sent), sent);
    }
    let replies = Arc::clone(replies);
    waiting.spawn(async move {
        let reply = reply.await;
        note(replies.try_send(&reply, sent), sent);
    });
}

/// A reply that is lost is asked for again.
fn note(outcome: io::Result<usize>, question: Sent) {
    if let Err(error) = outcome {
        debug!(to = %question.from, asked = %question.to, %error, "a reply could not be sent");
    }
}
