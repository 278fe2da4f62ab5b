//! A TCP echo server inside a namespace, which remembers who called.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_net::addr::canonical;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::Netns;

/// Sends back every byte it gets; stopped when dropped.
pub struct Echo {
    address: SocketAddr,
    callers: Arc<Mutex<Vec<SocketAddr>>>,
    serving: JoinHandle<()>,
}

impl Echo {
    /// Serves at `address` inside `netns`, from the runtime this is called on.
    pub fn start(netns: &Netns, address: SocketAddr) -> io::Result<Self> {
        Self::with_greeting(netns, address, "")
    }

    /// As [`Echo::start`], and speaks first.
    pub fn with_greeting(netns: &Netns, address: SocketAddr, greeting: &'static str) -> io::Result<Self> {
        let listener = netns.listen(address)?;
        let address = listener.local_addr()?;
        let callers = Arc::default();
        let serving = tokio::spawn(serve(listener, Arc::clone(&callers), greeting));
        Ok(Self { address, callers, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The addresses connections came from, in order.
    pub fn callers(&self) -> Vec<SocketAddr> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, callers: Arc<Mutex<Vec<SocketAddr>>>, greeting: &'static str) {
    // Connections end with the server.
    let mut connections = JoinSet::new();
    while let Ok((stream, caller)) = listener.accept().await {
        callers.lock().unwrap_or_else(PoisonError::into_inner).push(canonical(caller));
        connections.spawn(echo(stream, greeting));
        while connections.try_join_next().is_some() {}
    }
}

async fn echo(mut stream: TcpStream, greeting: &str) -> io::Result<()> {
    stream.write_all(greeting.as_bytes()).await?;
    let (mut read, mut write) = stream.split();
    tokio::io::copy(&mut read, &mut write).await?;
    write.shutdown().await
}
