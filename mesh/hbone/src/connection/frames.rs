//! What each frame that arrives does to the connection and its streams.

use std::sync::Arc;

use bytes::Bytes;
use mesh_frames::{Frame, ProtocolError, Reason, Setting};

use super::window::Overflow;
use super::{Connection, State};
use crate::error::Broken;

/// RFC 9113 §6.5.2.
const LARGEST_WINDOW: u32 = (1 << 31) - 1;
const FRAME_SIZES: std::ops::RangeInclusive<u32> = 16_384..=(1 << 24) - 1;

/// What may wait to be sent. Payload and answers stay far below; a peer that makes
/// us acknowledge more than this and does not read it is after our memory.
const MOST_PENDING: usize = 1 << 20;

impl State {
    pub(super) fn receive_frame(
        &mut self,
        connection: &Arc<Connection>,
        frame: Frame,
    ) -> Result<(), ProtocolError> {
        if !self.peer.known && !matches!(frame, Frame::Settings(_)) {
            return Err(ProtocolError::protocol("something before its settings"));
        }
        match frame {
            Frame::Data { stream, data, counted, end } => self.receive_data(stream, data, counted, end)?,
            Frame::Headers { stream, block, end } => self.receive_headers(connection, stream, &block, end)?,
            Frame::Reset { stream, reason } => self.receive_reset(stream, reason)?,
            Frame::Settings(settings) => self.receive_settings(&settings)?,
            Frame::SettingsAck => {}
            Frame::Ping(payload) => self.say(|out| mesh_frames::pong(out, payload)),
            Frame::Pong(payload) => self.receive_pong(payload),
            Frame::GoAway { last, reason } => {
                self.goodbye.received();
                self.streams.refuse_after(last, reason);
                self.wake_driver();
            }
            Frame::Window { stream: 0, increment } => {
                self.send
                    .change(increment.into())
                    .map_err(|Overflow| ProtocolError::flow("a window that is too large"))?;
                self.streams.unblock();
            }
            Frame::Window { stream, increment } => self.receive_window(stream, increment)?,
        }
        if self.outgoing.pending() > MOST_PENDING {
            return Err(ProtocolError::excess("more questions than answers it reads"));
        }
        Ok(())
    }

    pub(super) fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut frame = Vec::new();
        write(&mut frame);
        self.outgoing.append(&frame);
        self.wake_driver();
    }

    fn receive_data(&mut self, id: u32, data: Bytes, counted: u32, end: bool) -> Result<(), ProtocolError> {
        self.receive.take(counted).map_err(|_| ProtocolError::flow("more than the connection's window"))?;
        // Parts of frames are below 2^24.
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let Some(stream) = self.streams.find(id) else {
            if self.streams.is_idle(id) {
                return Err(ProtocolError::protocol("data on a stream nobody opened"));
            }
            // It and our reset have crossed.
            self.release(counted);
            return Ok(());
        };
        let wrong = if stream.broken.is_some() {
            None
        } else if stream.remote_ended {
            Some(Reason::STREAM_CLOSED)
        } else if stream.receive.take(counted).is_err() {
            Some(Reason::FLOW_CONTROL_ERROR)
        } else if !stream.begun {
            Some(Reason::PROTOCOL_ERROR)
        } else {
            stream.unreleased += length;
            stream.received.push(data);
            stream.remote_ended = end;
            stream.wake_reader();
            // Padding is nobody's to take out.
            let padding = counted - length;
            let told = stream.receive.release(padding);
            self.allow(id, told);
            self.release(padding);
            return Ok(());
        };
        self.release(counted);
        if let Some(reason) = wrong {
            if let Some(stream) = self.streams.find(id) {
                stream.break_off(Broken::Malformed);
            }
            self.reset(id, reason);
        }
        Ok(())
    }

    fn receive_reset(&mut self, id: u32, reason: Reason) -> Result<(), ProtocolError> {
        if let Some(stream) = self.streams.find(id) {
            stream.break_off(Broken::Reset(reason));
        } else if self.streams.is_idle(id) {
            return Err(ProtocolError::protocol("the reset of a stream nobody opened"));
        }
        Ok(())
    }

    fn receive_window(&mut self, id: u32, increment: u32) -> Result<(), ProtocolError> {
        let Some(stream) = self.streams.find(id) else {
            if self.streams.is_idle(id) {
                return Err(ProtocolError::protocol("a window for a stream nobody opened"));
            }
            return Ok(());
        };
        match stream.send.change(increment.into()) {
            Ok(()) => stream.wake_writer(),
            Err(Overflow) => {
                stream.break_off(Broken::Malformed);
                self.reset(id, Reason::FLOW_CONTROL_ERROR);
            }
        }
        Ok(())
    }

    fn receive_settings(&mut self, settings: &[Setting]) -> Result<(), ProtocolError> {
        self.peer.known = true;
        for Setting(identifier, value) in settings {
            match identifier {
                2 if *value > 1 => return Err(ProtocolError::protocol("a setting that is not 0 or 1")),
                3 => self.peer.streams = *value as usize,
                4 => self.change_stream_windows(*value)?,
                5 if !FRAME_SIZES.contains(value) => {
                    return Err(ProtocolError::protocol("a frame size no peer may have"));
                }
                // Ours are never larger than the least anyone takes, and our header
                // blocks use no table: the rest says nothing to us.
                _ => {}
            }
        }
        self.say(mesh_frames::settings_ack);
        Ok(())
    }

    fn change_stream_windows(&mut self, size: u32) -> Result<(), ProtocolError> {
        let too_large = ProtocolError::flow("a window that is too large");
        if size > LARGEST_WINDOW {
            return Err(too_large);
        }
        let by = i64::from(size) - i64::from(self.peer.stream_window);
        self.peer.stream_window = size;
        for stream in self.streams.each() {
            stream.send.change(by).map_err(|Overflow| too_large)?;
            stream.wake_writer();
        }
        Ok(())
    }
}
