//! Accepting the connections of one listener until the drain starts, and
//! waiting for them to end.

use std::future::Future;
use std::io;

use futures_util::FutureExt as _;
use mesh_runtime::accepting::AcceptFailures;
use mesh_runtime::drain::{DrainWatcher, Mode};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::{debug, warn};

/// Further connections wait in the listener's queue, and then with the client.
const MOST_CONNECTIONS: usize = 32_768;

/// Serves every connection in a task of its own. Returns when the drain is over;
/// what is still running then is dropped, and with it its sockets.
pub(super) async fn accept_all<F, S>(listener: std::net::TcpListener, drain: DrainWatcher, serve: S)
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(TcpStream) -> F,
{
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return warn!(%error, "a listener cannot be used"),
    };
    let mut connections = JoinSet::new();
    let mut failures = AcceptFailures::of("connections of a pod");
    let mode = loop {
        tokio::select! {
            biased;
            mode = drain.signaled() => break mode,
            Some(ended) = connections.join_next() => note_panic(ended),
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream))),
                Err(error) => pause_unless_about_one_connection(&mut failures, &error).await,
            }
        }
    };
    if mode == Mode::Immediate {
        return;
    }
    // Whoever has connected before the listener closes would otherwise be reset.
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        connections.spawn(serve(stream));
    }
    drop(listener);
    tokio::select! {
        () = drain.forced() => {}
        () = async { while let Some(ended) = connections.join_next().await { note_panic(ended) } } => {}
    }
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        warn!(%error, "a connection's task failed");
    }
}

async fn pause_unless_about_one_connection(failures: &mut AcceptFailures, error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        debug!(%error, "a connection ended before it was accepted");
        return;
    }
    failures.pause(error).await;
}
