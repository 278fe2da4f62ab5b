//! Connections that the ztunnel in front of a sandwiched waypoint hands over in the open: it has ended the tunnel, and
//! a PROXY header says whose connection it was and where it was going. Whoever can connect here is believed.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_model::Identity;
use mesh_net::proxy_protocol::{self, Header, ParseError};
use mesh_net::socket::{SocketOptions, set_accepted};
use mesh_runtime::drain::DrainWatcher;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::tunnel::{self, Downstream};
use crate::worker::{Worker, accept_each};

/// Accepts connections until the drain starts.
pub(crate) async fn accept(worker: Arc<Worker>, listener: TcpListener, drain: DrainWatcher) {
    accept_each(listener, drain, |stream, drain| serve(worker.clone(), stream, drain)).await;
}

async fn serve(worker: Arc<Worker>, mut stream: TcpStream, drain: DrainWatcher) -> Result<(), String> {
    set_accepted(&stream, &SocketOptions::plain()).map_err(|error| error.to_string())?;
    let patience = worker.settings.hbone.handshake_timeout;
    let header = tokio::select! {
        header = tokio::time::timeout(patience, read_header(&mut stream)) => header,
        _ = drain.signaled() => return Ok(()),
    };
    let header = header.map_err(|_| format!("no PROXY header within {patience:?}"))??;
    let (downstream, target) = meaning(header)?;
    tunnel::handle_open(worker, downstream, drain, target, stream).await;
    Ok(())
}

/// Who opened the connection, and where it was going.
fn meaning(header: Header) -> Result<(Downstream, SocketAddr), String> {
    let (address, target) = header.addresses.ok_or("the PROXY header is of nobody's connection (LOCAL)")?;
    // What nobody has proven to be does not come by a tunnel, and so not here.
    let identity = header.identity.ok_or("the PROXY header has no identity (TLV 0xD0)")?;
    let identity: Identity = identity.parse().map_err(|error| format!("{error}"))?;
    Ok((Downstream { address, identity, open: true }, target))
}

/// Reads a header, and nothing of what follows.
async fn read_header(stream: &mut TcpStream) -> Result<Header, String> {
    let mut bytes = Vec::new();
    let mut needed = 1;
    loop {
        let missing = needed - bytes.len();
        let read = (&mut *stream).take(missing as u64).read_to_end(&mut bytes).await;
        if read.map_err(|error| error.to_string())? < missing {
            return Err("the connection ended in its PROXY header".to_owned());
        }
        match proxy_protocol::parse(&bytes) {
            Ok((header, _)) => return Ok(header),
            Err(ParseError::Incomplete(more)) => needed = more,
            Err(invalid) => return Err(invalid.to_string()),
        }
    }
}
