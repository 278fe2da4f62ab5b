//! One protobuf message a packet on a `SOCK_SEQPACKET` socket, with a descriptor
//! beside it when there is one to pass.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::socket::{ControlMessage, MsgFlags, recvmsg, sendmsg};
use prost::Message;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The largest packet either side may send.
pub(super) const LARGEST: usize = 1024;

/// Sends one message.
pub(super) async fn send(
    socket: &UnixStream,
    message: &impl Message,
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let bytes = message.encode_to_vec();
    if bytes.len() > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "message is longer than 1024 bytes"));
    }
    let descriptors: Vec<_> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let control = if descriptors.is_empty() { &[][..] } else { &rights[..] };
    let send = || {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        Ok(sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&bytes)], control, flags, None)?)
    };
    socket.async_io(Interest::WRITABLE, send).await.map(drop)
}

/// Receives one message; `None` when the other side has closed. Descriptors are
/// not accepted: the kernel discards what comes beside a message.
pub(super) async fn receive<M: Message + Default>(socket: &UnixStream) -> io::Result<Option<M>> {
    let mut bytes = [0; LARGEST];
    let receive = || {
        let mut room = [IoSliceMut::new(&mut bytes)];
        let packet = recvmsg::<()>(socket.as_raw_fd(), &mut room, None, MsgFlags::MSG_DONTWAIT)?;
        Ok((packet.bytes, packet.flags))
    };
    let (length, flags) = socket.async_io(Interest::READABLE, receive).await?;
    if flags.contains(MsgFlags::MSG_TRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "packet is longer than 1024 bytes"));
    }
    // A message of ours is never empty, so no bytes are the end.
    if length == 0 {
        return Ok(None);
    }
    M::decode(&bytes[..length]).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
