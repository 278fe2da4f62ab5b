//! One HTTP/2 connection of tunnels: what its streams and the task that drives it
//! share. Streams put their frames straight into the bytes to be sent; the driver
//! hands arriving bytes to their streams. All of it runs on one thread, so the
//! lock is never waited for.

mod accept;
mod driver;
mod frames;
mod goodbye;
mod incoming;
mod keepalive;
mod outgoing;
mod queue;
mod spare;
mod stream;
mod streams;
mod window;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use mesh_frames::Decoder;

use crate::error::Broken;
use crate::settings::Settings;
pub(crate) use accept::Request;
use goodbye::Goodbye;
use keepalive::Liveness;
use outgoing::Outgoing;
use streams::Streams;
use window::{ReceiveWindow, SendWindow};

pub(crate) use driver::Driver;
pub(crate) use keepalive::peer_silent;
pub(crate) use stream::{Answer, FillError, Filled, StreamRef};

/// Which end we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// What every stream of a connection and its driver have in common.
pub(crate) struct Connection {
    state: Mutex<State>,
}

struct State {
    role: Role,
    limits: Limits,
    outgoing: Outgoing,
    decoder: Decoder,
    streams: Streams,
    /// Requests nobody has looked at yet.
    accepted: VecDeque<Request>,
    send: SendWindow,
    receive: ReceiveWindow,
    peer: PeerSettings,
    goodbye: Goodbye,
    liveness: Liveness,
    driver: Option<Waker>,
    /// Nothing works any more, and why.
    broken: Option<Broken>,
}

/// What we keep peers to.
struct Limits {
    stream_window: u32,
    streams: usize,
    /// Bytes of all fields of a request or answer, as RFC 9113 §6.5.2 counts them.
    headers: usize,
}

/// What the peer wants kept to.
struct PeerSettings {
    /// Its first frame has come.
    known: bool,
    streams: usize,
    stream_window: u32,
}

/// RFC 9113 §6.5.2 sets no limit before the peer has; this is what it recommends as the least.
const STREAMS_AT_FIRST: usize = 100;
/// RFC 9113 §6.9.2.
const WINDOW_AT_FIRST: u32 = 65_535;

impl Connection {
    fn new(role: Role, settings: &Settings, outgoing: Outgoing) -> Arc<Self> {
        let headers = match role {
            Role::Client => settings.answer_headers,
            Role::Server => settings.accepted_headers,
        };
        let state = State {
            role,
            limits: Limits {
                stream_window: settings.stream_window,
                streams: settings.accepted_streams as usize,
                headers: headers as usize,
            },
            outgoing,
            decoder: Decoder::default(),
            streams: Streams::new(role),
            accepted: VecDeque::new(),
            send: SendWindow::new(WINDOW_AT_FIRST),
            receive: ReceiveWindow::new(settings.connection_window.max(WINDOW_AT_FIRST)),
            peer: PeerSettings { known: false, streams: STREAMS_AT_FIRST, stream_window: WINDOW_AT_FIRST },
            goodbye: Goodbye::default(),
            liveness: Liveness::default(),
            driver: None,
            broken: None,
        };
        let connection = Arc::new(Connection { state: Mutex::new(state) });
        connection.lock().begin(settings);
        connection
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics between two states; if it did, the connection is torn down anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Streams the peer lets us open.
    pub(crate) fn stream_limit(&self) -> usize {
        self.lock().peer.streams
    }

    /// Whether streams can still be opened on it.
    pub(crate) fn takes_streams(&self) -> bool {
        let state = self.lock();
        state.broken.is_none() && !state.goodbye.is_said()
    }

    /// Whether the peer has begun to speak HTTP/2.
    pub(crate) fn has_begun(&self) -> bool {
        self.lock().peer.known
    }
}

impl State {
    /// What is said first: RFC 9113 §3.4.
    fn begin(&mut self, settings: &Settings) {
        let mut first = Vec::new();
        // Identifiers of RFC 9113 §6.5.2.
        let (push, streams, window, frame, headers) = (2, 3, 4, 5, 6);
        let common = [(window, settings.stream_window), (frame, settings.frame_size)];
        let own = match self.role {
            Role::Client => {
                first.extend_from_slice(mesh_frames::PREFACE);
                [(push, 0), (headers, settings.answer_headers)]
            }
            Role::Server => [(streams, settings.accepted_streams), (headers, settings.accepted_headers)],
        };
        mesh_frames::settings(&mut first, &[common, own].concat());
        if settings.connection_window > WINDOW_AT_FIRST {
            mesh_frames::window_update(&mut first, 0, settings.connection_window - WINDOW_AT_FIRST);
        }
        self.outgoing.append(&first);
    }

    /// Lets the driver send what has been written.
    fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Ends everything for this reason; later ones do not count.
    fn break_off(&mut self, why: Broken) {
        if self.broken.is_none() {
            self.broken = Some(why);
            self.streams.wake_all();
            self.liveness.wake();
            self.wake_driver();
        }
    }
}

#[cfg(test)]
mod tests;
