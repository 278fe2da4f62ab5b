//! The ports of `adit echo`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use super::name::Name;
use super::service::Echo;
use super::tcp;
use super::tls::{self, AskedName};
use super::url::Url;

/// The port when none is asked for.
const DEFAULT_PORT: u16 = 8080;
/// A peer has to finish its request's head within this.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Serve HTTP/1.1, HTTP/2 and gRPC here (8080 if no port at all is given)
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    http: Vec<u16>,
    /// Serve the same by TLS here, with a certificate of its own making
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    https: Vec<u16>,
    /// Echo lines here
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    tcp: Vec<u16>,
    /// Greet, then echo lines here
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    server_first: Vec<u16>,
    /// The service's name in answers (else the pod's)
    #[arg(long, env = "SERVICE")]
    name: Option<String>,
    /// The version in answers
    #[arg(long, env = "VERSION")]
    version: Option<String>,
    /// Call this URL for every request and include its answer
    #[arg(long, value_name = "URL", value_delimiter = ',', env = "CALLS")]
    call: Vec<Url>,
    /// Write no line per request
    #[arg(long)]
    quiet: bool,
}

/// What a port speaks.
#[derive(Clone)]
pub(super) enum Speech {
    Http,
    Https(TlsAcceptor),
    Tcp { greet: bool },
}

/// Serves until SIGTERM or SIGINT.
pub(super) async fn run(serve: Serve) -> Result<()> {
    let Serve { mut http, https, tcp, server_first, name, version, call, quiet } = serve;
    if http.is_empty() && https.is_empty() && tcp.is_empty() && server_first.is_empty() {
        http.push(DEFAULT_PORT);
    }
    let name = Name::new(name, version);
    let echo =
        Arc::new(Echo { name, calls: call, quiet, stats: Default::default(), failures: Default::default() });
    let mut ports = vec![
        (http, Speech::Http),
        (tcp, Speech::Tcp { greet: false }),
        (server_first, Speech::Tcp { greet: true }),
    ];
    if !https.is_empty() {
        ports.push((https, Speech::Https(tls::acceptor(&echo.name.service)?.0)));
    }
    for (ports, speech) in ports {
        for port in ports {
            let listener = listen(port).await.with_context(|| format!("cannot listen on port {port}"))?;
            tokio::spawn(accept(listener, echo.clone(), speech.clone()));
        }
    }
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminated.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    Ok(())
}

/// On both families; a machine without IPv6 gets IPv4 alone.
async fn listen(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        result => result,
    }
}

pub(super) async fn accept(listener: TcpListener, echo: Arc<Echo>, speech: Speech) {
    loop {
        match listener.accept().await {
            Ok((stream, source)) => {
                let source = SocketAddr::new(source.ip().to_canonical(), source.port());
                tokio::spawn(serve(stream, source, echo.clone(), speech.clone()));
            }
            // Out of descriptors, most likely: those in use have to be given back first.
            Err(error) => {
                eprintln!("cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A peer that breaks off concerns nobody else, so errors end here.
async fn serve(stream: TcpStream, source: SocketAddr, echo: Arc<Echo>, speech: Speech) {
    let _ = stream.set_nodelay(true);
    match speech {
        Speech::Tcp { greet } => drop(tcp::serve(echo, stream, source, greet).await),
        Speech::Http => serve_http(echo, stream, source, None).await,
        Speech::Https(acceptor) => {
            if let Some((stream, asked)) = tls::accept(&acceptor, stream).await {
                serve_http(echo, stream, source, Some(asked)).await;
            }
        }
    }
}

async fn serve_http<S>(echo: Arc<Echo>, stream: S, source: SocketAddr, asked: Option<AskedName>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(asked) = &asked {
            request.extensions_mut().insert(asked.clone());
        }
        echo.clone().answer(source, request)
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    server.http2().timer(TokioTimer::new());
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}
