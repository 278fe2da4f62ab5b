//! Finding out that a peer is gone although its connection is not (HB-18).

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Connection;
use super::stream::wait;
use crate::settings::Settings;

/// The PING that asks whether somebody is there.
const QUESTION: [u8; 8] = *b"anybody?";

/// Whether the peer owes us a sign of life.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    asked: bool,
    waits: Option<Waker>,
}

impl Liveness {
    pub(super) fn answered(&mut self) {
        self.asked = false;
        self.wake();
    }

    pub(super) fn wake(&mut self) {
        if let Some(waits) = self.waits.take() {
            waits.wake();
        }
    }
}

/// Asks for ever; ends, with the time waited, when the peer did not answer.
pub(crate) async fn peer_silent(connection: &Arc<Connection>, settings: &Settings) -> Duration {
    loop {
        sleep(settings.ping_interval).await;
        {
            let mut state = connection.lock();
            state.liveness.asked = true;
            state.say(|out| mesh_frames::ping(out, QUESTION));
        }
        let answered = poll_fn(|cx| {
            let mut state = connection.lock();
            if state.liveness.asked { wait(&mut state.liveness.waits, cx) } else { Poll::Ready(()) }
        });
        if timeout(settings.ping_timeout, answered).await.is_err() {
            return settings.ping_timeout;
        }
    }
}
