//! How a connection ends without cutting anything off (RFC 9113 §6.8). The end that
//! serves says first that it will close, and only once the peer must have heard of
//! it, which streams it has looked at.

use mesh_frames::Reason;

use super::{Connection, State};

/// The PING that measures one round trip of a goodbye.
const ROUND_TRIP: [u8; 8] = *b"goodbye!";
/// Every stream there can be: none is refused yet.
const ALL: u32 = (1 << 31) - 1;

#[derive(Debug, Default)]
pub(super) struct Goodbye {
    stage: Stage,
    /// The peer is about to close.
    received: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    None,
    /// The peer may not have heard of it.
    Announced,
    /// No stream begins any more; the connection ends with its last one.
    Final,
}

impl Goodbye {
    pub(super) fn received(&mut self) {
        self.received = true;
    }

    /// Whether either end has begun to say it.
    pub(super) fn is_said(&self) -> bool {
        self.received || self.stage != Stage::None
    }

    /// Whether the connection ends with its last stream.
    pub(super) fn is_final(&self) -> bool {
        self.stage == Stage::Final
    }

    /// Whether the peer has said it: it opens no streams, and takes none.
    pub(super) fn is_received(&self) -> bool {
        self.received
    }
}

impl Connection {
    /// The end that serves takes no more requests, but those that are on their way.
    pub(crate) fn drain(&self) {
        let mut state = self.lock();
        if state.goodbye.stage == Stage::None {
            state.goodbye.stage = Stage::Announced;
            state.say(|out| {
                mesh_frames::go_away(out, ALL, Reason::NO_ERROR);
                mesh_frames::ping(out, ROUND_TRIP);
            });
        }
    }

    /// The end that asks asks for nothing more.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        state.goodbye.stage = Stage::Final;
        state.wake_driver();
    }
}

impl State {
    pub(super) fn receive_pong(&mut self, payload: [u8; 8]) {
        if payload == ROUND_TRIP && self.goodbye.stage == Stage::Announced {
            self.goodbye.stage = Stage::Final;
            let last = self.streams.last_remote;
            self.say(|out| mesh_frames::go_away(out, last, Reason::NO_ERROR));
        } else {
            self.liveness.answered();
        }
    }
}
