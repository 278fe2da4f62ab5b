//! One connected ztunnel: its hello, the snapshot, then what changes, each
//! message answered before the next is sent.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use mesh_net::namespace::Namespace;
use mesh_proto::istio::workload::zds::{
    AddWorkload, DelWorkload, KeepWorkload, SnapshotSent, Version, WorkloadRequest, WorkloadResponse,
    ZdsHello, workload_request::Payload, workload_response,
};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Answer, Command, Entry, Proxies, Workload, packet};
use crate::pod::Uid;

const DEADLINE: Duration = Duration::from_secs(5);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it closed the connection")]
    Closed,
    #[error("no {0} within 5 s")]
    Late(&'static str),
    #[error("{0}")]
    Protocol(&'static str),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Serves one ztunnel until either side ends it.
pub(super) async fn serve(socket: UnixStream, proxies: Proxies) {
    let mut session = Session { socket, proxies, id: None };
    let ended = session.run().await;
    if let Err(reason) = ended {
        info!("a ztunnel has left: {reason}");
    }
}

struct Session {
    socket: UnixStream,
    proxies: Proxies,
    /// Set once connected; disconnected when dropped.
    id: Option<u64>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.proxies.disconnect(id);
        }
    }
}

impl Session {
    async fn run(&mut self) -> Result<(), Ended> {
        let hello: ZdsHello = self.receive("hello").await?;
        if hello.version() != Version::V1 {
            return Err(Ended::Protocol("its hello names a version other than V1"));
        }
        let mut complete = self.proxies.complete.subscribe();
        tokio::select! {
            // The sender lives in `proxies`, so waiting cannot fail.
            _ = complete.wait_for(|complete| *complete) => {}
            ended = self.fetch_end() => return Err(ended),
        }
        let (id, snapshot, mut commands) = self.proxies.connect();
        self.id = Some(id);
        info!("ztunnel connected: {} pods in its snapshot", snapshot.len());
        for (uid, entry) in snapshot {
            match entry {
                Entry::Add(workload) => self.add(uid, workload).await?,
                Entry::Keep => {
                    self.tell("keep", &uid, Payload::Keep(KeepWorkload { uid: uid.clone() })).await?
                }
            }
        }
        self.tell("snapshot", "", Payload::SnapshotSent(SnapshotSent {})).await?;
        loop {
            let command = tokio::select! {
                command = commands.recv() => command,
                ended = self.fetch_end() => return Err(ended),
            };
            match command {
                Some(Command::Add(uid, workload)) => self.add(uid, workload).await?,
                Some(Command::Delete(uid)) => {
                    self.tell("delete", &uid, Payload::Del(DelWorkload { uid: uid.clone() })).await?;
                }
                None => return Err(Ended::Protocol("it was too far behind")),
            }
        }
    }

    async fn add(&self, uid: Uid, workload: Workload) -> Result<(), Ended> {
        let Workload { info, namespace } = workload;
        let payload = Payload::Add(AddWorkload { uid: uid.clone(), workload_info: Some(info) });
        let refusal = self.exchange(payload, Some(&namespace)).await?;
        let result = if refusal.is_empty() { Ok(()) } else { Err(refusal) };
        // The agent that asked may be ending.
        let _ = self.proxies.answers.send(Answer { uid, namespace, result }).await;
        Ok(())
    }

    /// Tells what has no consequence for the agent when it is refused.
    async fn tell(&self, what: &str, uid: &str, payload: Payload) -> Result<(), Ended> {
        let refusal = self.exchange(payload, None).await?;
        if !refusal.is_empty() {
            warn!("ztunnel refused {what} {uid}: {refusal}");
        }
        Ok(())
    }

    /// Sends a request and returns the error in the answer, empty for none.
    async fn exchange(&self, payload: Payload, namespace: Option<&Namespace>) -> Result<String, Ended> {
        let request = WorkloadRequest { payload: Some(payload) };
        let sent = packet::send(&self.socket, &request, namespace.map(AsFd::as_fd));
        timeout(DEADLINE, sent).await.map_err(|_| Ended::Late("room for a message"))??;
        let response: WorkloadResponse = self.receive("answer").await?;
        match response.payload {
            Some(workload_response::Payload::Ack(ack)) => Ok(ack.error),
            None => Err(Ended::Protocol("its answer is none we know")),
        }
    }

    async fn receive<M: prost::Message + Default>(&self, what: &'static str) -> Result<M, Ended> {
        let received = timeout(DEADLINE, packet::receive(&self.socket)).await;
        received.map_err(|_| Ended::Late(what))??.ok_or(Ended::Closed)
    }

    /// Waits for the end of a connection on which nothing is due to arrive.
    async fn fetch_end(&self) -> Ended {
        match packet::receive::<WorkloadResponse>(&self.socket).await {
            Ok(None) => Ended::Closed,
            Ok(Some(_)) => Ended::Protocol("it answered without being asked"),
            Err(error) => Ended::Io(error),
        }
    }
}
