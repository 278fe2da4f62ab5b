//! Questions by datagram. What can be answered is answered on the spot; what has to wait waits
//! in a task of its own and holds up nothing else.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use mesh_runtime::drain::{DrainWatcher, Mode};
use mesh_telemetry::DnsProtocol;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::message::{Asked, LONGEST_QUESTION, Unanswerable};
use super::resolver::Resolver;

/// Pause after a failure of the socket itself.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until the drain starts, and then what has arrived by then.
pub(crate) async fn serve_udp(socket: std::net::UdpSocket, resolver: Arc<Resolver>, drain: DrainWatcher) {
    let socket = match UdpSocket::from_std(socket) {
        Ok(socket) => Arc::new(socket),
        Err(error) => return warn!(%error, "a socket for names cannot be used"),
    };
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
            received = socket.recv_from(&mut buffer) => match received {
                Ok((length, from)) => {
                    take(&socket, &resolver, &mut waiting, &buffer[..length], from);
                }
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
    socket: &Arc<UdpSocket>,
    resolver: &Arc<Resolver>,
    waiting: &mut JoinSet<()>,
    bytes: &[u8],
    from: SocketAddr,
) {
    let asked = match Asked::read(bytes) {
        Ok(asked) => asked,
        Err(Unanswerable::Ignored) => return,
        Err(Unanswerable::Refused(reply)) => return note(socket.try_send_to(&reply, from), from),
    };
    let mut reply = Box::pin(Arc::clone(resolver).reply(asked, DnsProtocol::udp));
    if let Some(reply) = (&mut reply).now_or_never() {
        return note(socket.try_send_to(&reply, from), from);
    }
    let socket = Arc::clone(socket);
    waiting.spawn(async move {
        let reply = reply.await;
        note(socket.send_to(&reply, from).await, from);
    });
}

/// A reply that is lost is asked for again.
fn note(sent: io::Result<usize>, to: SocketAddr) {
    if let Err(error) = sent {
        debug!(%to, %error, "a reply could not be sent");
    }
}
