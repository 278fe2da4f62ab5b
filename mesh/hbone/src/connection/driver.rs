//! The task that carries a connection's bytes: hands what arrives to its streams,
//! sends what they have written. One turn takes what one read brings and yields,
//! so that the streams it woke can write before it goes on, and their frames share
//! a record and a system call.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use mesh_frames::{FrameReader, Limits, PREFACE, ProtocolError, Reason};
use mesh_record::RecordError;
use tokio::io::{AsyncRead, AsyncWrite};

use super::incoming::{Incoming, Piece};
use super::outgoing::Outgoing;
use super::stream::{StreamRef, wait};
use super::streams::Stream;
use super::{Connection, Request, Role, State};
use crate::error::Broken;
use crate::settings::Settings;
use crate::tls::Secured;

/// What a header block may take up as it was sent; beyond what we take of it, it
/// still has to be read to understand the next one.
const BLOCK: usize = 4;

/// Drives one connection over its carrier.
pub(crate) struct Driver<C> {
    carrier: C,
    connection: Arc<Connection>,
    incoming: Incoming,
    frames: FrameReader,
    /// What is missing of the client's first words.
    preface: &'static [u8],
    stage: Stage,
    /// The carrier takes no more at the moment, and wakes us when it does.
    blocked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// All has been said and has to be sent.
    Closing,
}

/// A turn brought no end of the connection.
enum Turn {
    /// The carrier has to be waited for.
    Waiting,
    /// There may be more right away.
    More,
    /// The peer has closed.
    Closed,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Driver<C> {
    /// The connection and what drives it, from its first byte.
    pub(crate) fn new(role: Role, secured: Secured<C>, settings: &Settings) -> (Self, Arc<Connection>) {
        let connection = Connection::new(role, settings, Outgoing::new(secured.sealer));
        let headers = match role {
            Role::Client => settings.answer_headers,
            Role::Server => settings.accepted_headers,
        };
        let limits = Limits { frame: settings.frame_size, block: BLOCK * headers as usize };
        let driver = Driver {
            carrier: secured.carrier,
            connection: Arc::clone(&connection),
            incoming: Incoming::new(secured.opener, secured.received),
            frames: FrameReader::new(limits),
            preface: if role == Role::Server { PREFACE } else { &[] },
            stage: Stage::Running,
            blocked: false,
        };
        (driver, connection)
    }

    /// Goes on until there is a request to look at, or, with `None`, until the end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Request>, Broken>> {
        // First what came last time: looking at it needs no turn.
        if let Some(request) = self.connection.lock().accepted.pop_front() {
            return Poll::Ready(Ok(Some(request)));
        }
        let turn = match self.turn(cx) {
            Ok(turn) => turn,
            // The peer has not waited for our part of the goodbye.
            Err(Broken::Io(_)) if self.is_goodbye() => Turn::Closed,
            Err(why) => return Poll::Ready(Err(self.fail(why, cx))),
        };
        let connection = Arc::clone(&self.connection);
        let mut state = connection.lock();
        if let Some(request) = state.accepted.pop_front() {
            return Poll::Ready(Ok(Some(request)));
        }
        let over = state.streams.is_empty() && (state.goodbye.is_final() || state.goodbye.is_received());
        match turn {
            Turn::Closed => {
                state.break_off(Broken::Closed);
                return Poll::Ready(Ok(None));
            }
            _ if over && self.stage == Stage::Running => {
                self.stage = Stage::Closing;
                if state.role == Role::Client {
                    state.say(|out| mesh_frames::go_away(out, 0, Reason::NO_ERROR));
                }
                state.outgoing.close();
                cx.waker().wake_by_ref();
            }
            _ if self.stage == Stage::Closing && state.outgoing.pending() == 0 => {
                state.break_off(Broken::Closed);
                drop(state);
                // Only politeness: a peer that does not take it has lost nothing.
                let _ = Pin::new(&mut self.carrier).poll_shutdown(cx);
                return Poll::Ready(Ok(None));
            }
            Turn::More => cx.waker().wake_by_ref(),
            // Another thread has written since.
            Turn::Waiting if state.outgoing.pending() > 0 && !self.blocked => cx.waker().wake_by_ref(),
            Turn::Waiting => {}
        }
        // Only now: until here this turn would have woken itself.
        wait(&mut state.driver, cx)
    }

    /// Whether both ends have nothing left to say but that.
    fn is_goodbye(&self) -> bool {
        let state = self.connection.lock();
        state.goodbye.is_said() && state.streams.is_empty()
    }

    /// Reads once, then sends what there is.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<Turn, Broken> {
        let connection = Arc::clone(&self.connection);
        let turn = self.receive(&connection, cx)?;
        self.send(&connection, cx)?;
        Ok(turn)
    }

    fn receive(&mut self, connection: &Arc<Connection>, cx: &mut Context<'_>) -> Result<Turn, Broken> {
        loop {
            self.hand_on(connection)?;
            match self.incoming.poll_read(&mut self.carrier, cx) {
                Poll::Pending => return Ok(Turn::Waiting),
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Ready(Ok(None)) if self.ended_well() => return Ok(Turn::Closed),
                Poll::Ready(Ok(None)) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Poll::Ready(Ok(Some(true))) => {
                    self.hand_on(connection)?;
                    return Ok(Turn::More);
                }
                // Nothing is left in the socket: the next look costs no system call.
                Poll::Ready(Ok(Some(false))) => {}
            }
        }
    }

    /// Whether nothing was cut off when the peer closed. Without a tunnel there is
    /// nothing that could have been, even if the end was not announced.
    fn ended_well(&self) -> bool {
        let announced = self.incoming.is_announced_end() || self.connection.lock().streams.is_empty();
        let whole = self.incoming.is_empty() && self.frames.is_between_frames() && self.preface.is_empty();
        announced && whole
    }

    /// Gives to the streams what was read for them.
    fn hand_on(&mut self, connection: &Arc<Connection>) -> Result<(), Broken> {
        while let Some(piece) = self.incoming.next()? {
            let mut state = connection.lock();
            match piece {
                Piece::KeyUpdateRequested => {
                    state.outgoing.update_key();
                    state.wake_driver();
                }
                Piece::Bytes(mut bytes) => {
                    self.greet(&mut bytes)?;
                    while let Some(frame) = self.frames.next(&mut bytes)? {
                        state.receive_frame(connection, frame)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A client begins with the same words always (RFC 9113 §3.4).
    fn greet(&mut self, bytes: &mut Bytes) -> Result<(), ProtocolError> {
        let said = self.preface.len().min(bytes.len());
        let (expected, rest) = self.preface.split_at(said);
        if !bytes.starts_with(expected) {
            return Err(ProtocolError::protocol("something that is not HTTP/2"));
        }
        bytes.advance(said);
        self.preface = rest;
        Ok(())
    }

    fn send(&mut self, connection: &Arc<Connection>, cx: &mut Context<'_>) -> Result<(), Broken> {
        let mut state = connection.lock();
        self.blocked = false;
        if let Some(error) = state.outgoing.failure() {
            return Err(Broken::Record(error.clone()));
        }
        while state.outgoing.pending() > 0 {
            let bytes = state.outgoing.sendable();
            match Pin::new(&mut self.carrier).poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Poll::Ready(Ok(taken)) => state.outgoing.taken(taken),
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => {
                    self.blocked = true;
                    break;
                }
            }
        }
        if state.outgoing.has_room() && state.send.available() > 0 {
            state.streams.unblock();
        }
        drop(state);
        match Pin::new(&mut self.carrier).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Tells the peer why, as far as it takes it at once, and everybody else.
    fn fail(&mut self, why: Broken, cx: &mut Context<'_>) -> Broken {
        let connection = Arc::clone(&self.connection);
        {
            let mut state = connection.lock();
            match &why {
                Broken::Protocol(error) => {
                    let (last, reason) = (state.streams.last_remote, error.reason);
                    state.say(|out| mesh_frames::go_away(out, last, reason));
                    state.outgoing.close();
                }
                Broken::Record(error) => {
                    if let Some(alert) = error.alert_owed() {
                        state.outgoing.alert(alert);
                    }
                }
                _ => {}
            }
            state.break_off(why.clone());
        }
        // What cannot be sent now is not worth waiting for.
        let _ = self.send(&connection, cx);
        why
    }
}

impl<C> Drop for Driver<C> {
    fn drop(&mut self) {
        let unseen = {
            let mut state = self.connection.lock();
            state.break_off(Broken::Closed);
            std::mem::take(&mut state.accepted)
        };
        // Outside the lock: each gives up its stream, and with it what holds the connection.
        drop(unseen);
    }
}

impl Connection {
    /// Opens a stream with these headers.
    pub(crate) fn open(self: &Arc<Self>, block: &[u8]) -> Result<StreamRef, Broken> {
        let mut state = self.lock();
        let State { broken, goodbye, .. } = &*state;
        if let Some(why) = broken {
            return Err(why.clone());
        }
        if goodbye.is_said() {
            return Err(Broken::GoAway(Reason::NO_ERROR));
        }
        let Some(id) = state.streams.number() else {
            state.goodbye.received();
            return Err(Broken::GoAway(Reason::NO_ERROR));
        };
        let stream = Stream::new(state.peer.stream_window, state.limits.stream_window, false);
        state.streams.insert(id, stream);
        state.say(|out| mesh_frames::headers(out, id, block, false));
        Ok(StreamRef::new(self, id))
    }
}

impl From<RecordError> for Broken {
    fn from(error: RecordError) -> Self {
        Broken::Record(error)
    }
}
