//! The server behind the proxies: answers HTTP/1.1 and HTTP/2 without TLS, whichever a connection begins with.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use http::Response;
use tokio::net::{TcpListener, TcpStream};

/// What is listened on.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Address to listen on
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
}

const BODY: &[u8] = b"hello, world\n";
/// How connections of HTTP/2 begin.
const PREFACE: &[u8] = b"PRI ";

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

async fn serve(stream: TcpStream) -> anyhow::Result<()> {
    let mut first = [0; PREFACE.len()];
    if stream.peek(&mut first).await? == PREFACE.len() && first == *PREFACE {
        return answer_http2(stream).await;
    }
    Ok(crate::serve::answer(stream, Vec::new()).await?)
}

async fn answer_http2(stream: TcpStream) -> anyhow::Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (_, mut respond) = request?;
        let response = Response::builder().header("content-type", "text/plain").header("content-length", 13);
        respond.send_response(response.body(())?, false)?.send_data(Bytes::from_static(BODY), true)?;
    }
    Ok(())
}
