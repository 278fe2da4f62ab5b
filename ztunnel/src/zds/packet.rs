//! A `SOCK_SEQPACKET` Unix socket: whole packets of a bounded size, with descriptors beside them.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, connect, recvmsg, send,
    socket,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The largest packet either side may send.
pub(super) const LARGEST_PACKET: usize = 1024;
/// Descriptors beyond the one a message may carry are received only to be closed.
const MOST_DESCRIPTORS: usize = 8;

/// One packet.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// A connected socket. tokio has no type for packets; of the stream's only readiness is used.
#[derive(Debug)]
pub(super) struct PacketSocket(UnixStream);

impl PacketSocket {
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let descriptor = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        // Connecting a Unix socket is done at once or fails (a full backlog is EAGAIN).
        connect(descriptor.as_raw_fd(), &UnixAddr::new(path)?)?;
        PacketSocket::from_descriptor(descriptor)
    }

    pub(super) fn from_descriptor(descriptor: OwnedFd) -> io::Result<Self> {
        Ok(PacketSocket(UnixStream::from_std(BlockingStream::from(descriptor))?))
    }

    pub(super) async fn send(&self, packet: &[u8]) -> io::Result<()> {
        let write = || Ok(send(self.0.as_raw_fd(), packet, MsgFlags::MSG_NOSIGNAL)?);
        self.0.async_io(Interest::WRITABLE, write).await.map(drop)
    }

    /// The next packet, or nothing at the end. Cancelling loses none.
    pub(super) async fn receive(&self) -> io::Result<Option<Packet>> {
        self.0.async_io(Interest::READABLE, || receive(&self.0)).await
    }
}

fn receive(socket: &UnixStream) -> io::Result<Option<Packet>> {
    let mut bytes = vec![0; LARGEST_PACKET];
    let mut control = nix::cmsg_space!([std::os::fd::RawFd; MOST_DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let mut descriptors = Vec::new();
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = message {
            // SAFETY: the kernel has just made these descriptors for us, and nobody else owns them.
            descriptors.extend(raw.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
        }
    }
    let (length, truncated) = (received.bytes, received.flags.contains(MsgFlags::MSG_TRUNC));
    if truncated {
        let reason = format!("a packet is larger than {LARGEST_PACKET} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    bytes.truncate(length);
    Ok((length > 0).then_some(Packet { bytes, descriptors }))
}
