//! What the fuzz targets reach of this crate: both ends without the TLS under
//! them, and the head of a request as it is written.

use mesh_model::Identity;
use mesh_runtime::drain::DrainWatcher;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::tls::Secured;
use crate::{
    ConnectError, ConnectRequest, Incoming, ResponseInfo, ServeError, Settings, TunnelStream, client, server,
};

/// The header block of the request as it is sent.
pub fn to_block(request: &ConnectRequest) -> Vec<u8> {
    request.to_block()
}

/// [`serve`](crate::serve) over what came out of TLS.
pub async fn serve_decrypted<IO, H, F>(
    io: IO,
    settings: &Settings,
    drain: DrainWatcher,
    handler: H,
) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Incoming) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    server::serve_secured(Secured::plain(io), settings, drain, handler).await
}

/// [`connect_unpooled`](crate::connect_unpooled) over what came out of TLS.
pub async fn connect_decrypted<IO>(
    io: IO,
    peer: Identity,
    settings: &Settings,
    request: &ConnectRequest,
) -> Result<(TunnelStream, ResponseInfo), ConnectError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    client::connect_secured(Secured::plain(io), peer, settings, request).await
}
