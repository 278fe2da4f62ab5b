//! A plain TCP forwarder: reads into one buffer of 64 KiB a direction and
//! writes it out. Two of them are the floor that a pair of proxies is held against.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};

/// Between which addresses.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Address to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// Address to connect to
    #[arg(long)]
    to: SocketAddr,
}

const BUFFER: usize = 64 * 1024;

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let listen = arguments.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    loop {
        let (downstream, _) = listener.accept().await?;
        // One connection's failure is not the forwarder's.
        tokio::spawn(async move { forward(downstream, arguments.to).await.ok() });
    }
}

async fn forward(mut downstream: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    downstream.set_nodelay(true)?;
    let mut upstream = TcpStream::connect(to).await?;
    upstream.set_nodelay(true)?;
    tokio::io::copy_bidirectional_with_sizes(&mut downstream, &mut upstream, BUFFER, BUFFER).await?;
    Ok(())
}
