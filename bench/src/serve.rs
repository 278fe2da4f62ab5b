//! The far end of every path. A connection that opens with `GET ` is answered
//! as HTTP/1.1 keep-alive with a small body; anything else is read and thrown
//! away, and counted back to the sender when it has finished.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is listened on.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Address to listen on
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
}

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\nhello, world\n";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// A request of the load generator is far smaller.
const LARGEST_HEAD: usize = 16 * 1024;

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let listen = arguments.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A client that goes away in the middle is no concern of the others.
        tokio::spawn(async move { serve(stream).await.ok() });
    }
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 1024];
    let read = stream.read(&mut buffer).await?;
    if buffer[..read].starts_with(b"GET ") {
        buffer.truncate(read);
        answer(stream, buffer).await
    } else {
        discard(stream, read).await
    }
}

/// Answers every complete head in `unread` and what follows it.
pub(crate) async fn answer(mut stream: TcpStream, mut unread: Vec<u8>) -> std::io::Result<()> {
    loop {
        while let Some(end) = unread.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD) {
            unread.drain(..end + END_OF_HEAD.len());
            stream.write_all(ANSWER).await?;
        }
        if unread.len() > LARGEST_HEAD || stream.read_buf(&mut unread).await? == 0 {
            return Ok(());
        }
    }
}

async fn discard(mut stream: TcpStream, first: usize) -> std::io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut total = first as u64;
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.write_all(&total.to_be_bytes()).await,
            read => total += read as u64,
        }
    }
}
