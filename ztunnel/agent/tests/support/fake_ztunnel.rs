//! The other side of ZDS, as far as tests need one.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mesh_proto::istio::workload::zds::{
    Ack, Version, WorkloadRequest, WorkloadResponse, ZdsHello, workload_request, workload_response,
};
use nix::cmsg_space;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, connect, recvmsg, sendmsg,
    socket,
};
use prost::Message;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

pub(crate) use mesh_proto::istio::workload::zds::workload_request::Payload;

const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct FakeZtunnel(UnixStream);

/// A request, and the descriptor that came beside it.
pub(crate) struct Received {
    pub(crate) payload: Payload,
    pub(crate) descriptor: Option<OwnedFd>,
}

impl FakeZtunnel {
    /// Connects as soon as somebody listens.
    pub(crate) async fn connect(path: &Path) -> Result<Self> {
        let connected = async {
            loop {
                let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
                if connect(socket.as_raw_fd(), &UnixAddr::new(path)?).is_ok() {
                    let stream = std::os::unix::net::UnixStream::from(socket);
                    stream.set_nonblocking(true)?;
                    return anyhow::Ok(Self(UnixStream::from_std(stream)?));
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, connected).await.context("nobody listens")?
    }

    pub(crate) async fn hello(&self) -> Result<()> {
        self.send(&ZdsHello { version: Version::V1.into() }.encode_to_vec()).await
    }

    pub(crate) async fn ack(&self, error: &str) -> Result<()> {
        let ack = workload_response::Payload::Ack(Ack { error: error.to_owned() });
        self.send(&WorkloadResponse { payload: Some(ack) }.encode_to_vec()).await
    }

    pub(crate) async fn send(&self, packet: &[u8]) -> Result<()> {
        let send = || {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            Ok(sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(packet)], &[], flags, None)?)
        };
        self.0.async_io(Interest::WRITABLE, send).await?;
        Ok(())
    }

    /// The next request; `None` at the end.
    pub(crate) async fn receive(&self) -> Result<Option<Received>> {
        let (packet, descriptors) =
            timeout(DEADLINE, self.receive_packet()).await.context("nothing arrives")??;
        if packet.is_empty() {
            return Ok(None);
        }
        ensure!(packet.len() <= 1024 && descriptors.len() <= 1, "{} bytes, {descriptors:?}", packet.len());
        let payload = WorkloadRequest::decode(&packet[..])?.payload.context("empty request")?;
        Ok(Some(Received { payload, descriptor: descriptors.into_iter().next() }))
    }

    async fn receive_packet(&self) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
        let mut packet = vec![0; 2048];
        let mut control = cmsg_space!([i32; 4]);
        let receive = || {
            let mut room = [IoSliceMut::new(&mut packet)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
            let message = match recvmsg::<()>(self.0.as_raw_fd(), &mut room, Some(&mut control), flags) {
                // The other side left with something of ours unread.
                Err(nix::errno::Errno::ECONNRESET) => return Ok((0, Vec::new())),
                message => message?,
            };
            let mut descriptors = Vec::new();
            for part in message.cmsgs()? {
                if let ControlMessageOwned::ScmRights(passed) = part {
                    // SAFETY: the kernel has just made these descriptors for this process.
                    descriptors.extend(passed.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                }
            }
            Ok((message.bytes, descriptors))
        };
        let (length, descriptors) = self.0.async_io(Interest::READABLE, receive).await?;
        packet.truncate(length);
        Ok((packet, descriptors))
    }

    /// The next request, which must come.
    pub(crate) async fn next(&self) -> Result<Received> {
        self.receive().await?.context("the agent has closed the connection")
    }

    /// Says hello and takes the whole snapshot; the UIDs in it.
    pub(crate) async fn take_snapshot(&self) -> Result<Vec<String>> {
        self.hello().await?;
        let mut uids = Vec::new();
        loop {
            let received = self.next().await?;
            self.ack("").await?;
            match received.payload {
                Payload::Add(add) => uids.push(add.uid),
                Payload::SnapshotSent(_) => return Ok(uids),
                other => bail!("{other:?} in a snapshot"),
            }
        }
    }

    /// Takes one new pod; its UID and network namespace.
    pub(crate) async fn take_add(&self) -> Result<(String, OwnedFd)> {
        let received = self.next().await?;
        let workload_request::Payload::Add(add) = received.payload else {
            bail!("{:?}, expected a new pod", received.payload)
        };
        self.ack("").await?;
        Ok((add.uid, received.descriptor.context("without a network namespace")?))
    }

    /// Lets one pod go; its UID.
    pub(crate) async fn take_delete(&self) -> Result<String> {
        let received = self.next().await?;
        let Payload::Del(delete) = received.payload else {
            bail!("{:?}, expected a pod to leave", received.payload)
        };
        ensure!(received.descriptor.is_none(), "a descriptor with a pod that leaves");
        self.ack("").await?;
        Ok(delete.uid)
    }
}
