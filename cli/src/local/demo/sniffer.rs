//! Reads along on the network between the nodes.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimeout};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket};
use nix::sys::time::TimeVal;

use super::frames::Stream;
use crate::local::mesh::Mesh;
use crate::local::network::{FABRIC, Netns};

/// Frames read between two looks at whether to stop.
const TIMEOUT: Duration = Duration::from_millis(50);
/// Room for frames that arrive faster than they are read.
const BUFFER: usize = 8 << 20;
/// The largest frame the kernel hands over, which may be many of the wire's.
const FRAME: usize = 1 << 16;

/// A sniffer at work.
pub(super) struct Sniffer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Vec<Stream>>>,
}

impl Sniffer {
    /// Starts to read everything that passes between the nodes.
    pub(super) fn start(mesh: &Mesh) -> Result<Self> {
        let fabric = Netns::open(mesh, FABRIC)?;
        // Bound to no interface, it hears all of the namespace it was made in.
        let socket = fabric.namespace().run(|| {
            let (family, kind, flags) = (AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC);
            Ok(socket(family, kind, flags, SockProtocol::EthAll)?)
        });
        let socket = socket.context("opening a packet socket")?;
        setsockopt(&socket, ReceiveTimeout, &TimeVal::new(0, TIMEOUT.as_micros() as _))?;
        setsockopt(&socket, RcvBufForce, &BUFFER)?;
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = stop.clone();
        let thread = std::thread::spawn(move || read(&socket, &is_stopped));
        Ok(Sniffer { stop, thread })
    }

    /// What has passed, by direction of each connection.
    pub(super) fn finish(self) -> Result<Vec<Stream>> {
        self.stop.store(true, Ordering::Relaxed);
        let streams = self.thread.join().map_err(|_| anyhow!("the sniffer panicked"))?;
        streams.context("reading the wire")
    }
}

fn read(socket: &OwnedFd, is_stopped: &AtomicBool) -> io::Result<Vec<Stream>> {
    let mut streams: Vec<Stream> = Vec::new();
    let mut frame = vec![0; FRAME];
    loop {
        match recv(socket.as_raw_fd(), &mut frame, MsgFlags::empty()) {
            Ok(length) => Stream::take(&mut streams, &frame[..length]),
            // Only a pause ends it, so that what has passed before the stop is read.
            Err(Errno::EAGAIN) if is_stopped.load(Ordering::Relaxed) => return Ok(streams),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
