//! The handshake, by rustls, up to the first record of application data.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{
    AlertDescription, ClientConfig, CommonState, Error, ExtractedSecrets, ProtocolVersion, ServerConfig,
};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::incoming::Incoming;
use crate::keys::{self, Kernel, Key, Schedule};
use crate::{Opener, Sealer};

/// What a handshake brought.
#[derive(Debug)]
pub struct Session {
    /// The peer's certificate and those between it and its root, verified; empty if it presented none.
    pub peer_certificates: Vec<CertificateDer<'static>>,
    /// The protocol both ends agreed on, if they spoke of any.
    pub alpn: Option<Vec<u8>>,
    /// The sending half.
    pub sealer: Sealer,
    /// The receiving half.
    pub opener: Opener,
    /// What came right behind the handshake: the start of the records to open.
    pub received: BytesMut,
}

/// Makes a TLS 1.3 connection over `io` as its client. Sets no time limit.
///
/// # Errors
/// As tokio-rustls: `InvalidData` around a [`rustls::Error`], after the peer was sent the alert it is owed, and
/// `UnexpectedEof` when it leaves. `InvalidInput` if `config` does not have `enable_secret_extraction`.
pub async fn connect<IO>(
    io: &mut IO,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> io::Result<Session>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    check_extraction(config.enable_secret_extraction)?;
    let end = UnbufferedClientConnection::new(config, name).map_err(invalid)?;
    shake_hands(io, end).await
}

/// Makes a TLS 1.3 connection over `io` as its server. Sets no time limit.
///
/// # Errors
/// As [`connect`].
pub async fn accept<IO>(io: &mut IO, config: Arc<ServerConfig>) -> io::Result<Session>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    check_extraction(config.enable_secret_extraction)?;
    let end = UnbufferedServerConnection::new(config).map_err(invalid)?;
    shake_hands(io, end).await
}

fn check_extraction(enabled: bool) -> io::Result<()> {
    if enabled {
        return Ok(());
    }
    let message = "this TLS configuration keeps its keys to itself; set enable_secret_extraction";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What rustls's two kinds of connection have in common.
trait End {
    type Side: Send + 'static;

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side>;

    fn common(&self) -> &CommonState;

    fn into_kernel(self) -> Result<(ExtractedSecrets, Kernel<Self::Side>), Error>;
}

impl End for UnbufferedClientConnection {
    type Side = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(records)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn into_kernel(self) -> Result<(ExtractedSecrets, Kernel<Self::Side>), Error> {
        let (secrets, connection) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Kernel { connection, keep_ticket: keys::keep_ticket }))
    }
}

impl End for UnbufferedServerConnection {
    type Side = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(records)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn into_kernel(self) -> Result<(ExtractedSecrets, Kernel<Self::Side>), Error> {
        let (secrets, connection) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Kernel { connection, keep_ticket: keys::refuse_ticket }))
    }
}

/// Where a handshake stands.
enum Step {
    /// rustls needs more from the peer.
    Receive,
    /// It needs nothing.
    Done,
}

async fn shake_hands<IO, E>(io: &mut IO, mut end: E) -> io::Result<Session>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    E: End,
{
    let mut incoming = Incoming::default();
    // Sent when there is nothing left to do without the peer: then a flight is one write.
    let mut outgoing = Vec::new();
    loop {
        match step(&mut end, &mut incoming, &mut outgoing) {
            Ok(Step::Receive) if incoming.show_more() => {}
            Ok(Step::Receive) => {
                send(io, &mut outgoing).await?;
                incoming.fetch(io).await?;
            }
            Ok(Step::Done) => {
                send(io, &mut outgoing).await?;
                return finish(end, incoming);
            }
            Err(error) => {
                // Why it failed is worth more than that the peer could not be told.
                let _ = send(io, &mut outgoing).await;
                return Err(error);
            }
        }
    }
}

async fn send(io: &mut (impl AsyncWrite + Unpin), outgoing: &mut Vec<u8>) -> io::Result<()> {
    if !outgoing.is_empty() {
        io.write_all(outgoing).await?;
        io.flush().await?;
        outgoing.clear();
    }
    Ok(())
}

/// Goes on until rustls needs something. After an error `outgoing` has the alert in it.
fn step<E: End>(end: &mut E, incoming: &mut Incoming, outgoing: &mut Vec<u8>) -> io::Result<Step> {
    loop {
        let UnbufferedStatus { discard, state } = end.process(incoming.shown());
        let step = match state {
            Ok(ConnectionState::EncodeTlsData(data)) => {
                append(data, outgoing)?;
                None
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                None
            }
            Ok(ConnectionState::BlockedHandshake) => Some(Step::Receive),
            // A server may send before the client has finished, and comes here then, too.
            Ok(ConnectionState::WriteTraffic(_)) => Some(Step::Done),
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                let message = "the peer closed the connection during the TLS handshake";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
            // Early data, which a server has to ask for.
            Ok(other) => {
                let message =
                    format!("no place for {other:?} in a handshake; leave max_early_data_size at 0");
                return Err(invalid(Error::General(message)));
            }
            Err(error) => {
                incoming.discard(discard);
                collect_alert(end, incoming, outgoing)?;
                return Err(invalid(error));
            }
        };
        incoming.discard(discard);
        if end.common().protocol_version() == Some(ProtocolVersion::TLSv1_2) {
            return Err(refuse_old(outgoing));
        }
        match step {
            Some(Step::Done) if end.common().is_handshaking() => return Ok(Step::Receive),
            Some(step) => return Ok(step),
            None => {}
        }
    }
}

/// Encodes what rustls wants sent.
fn append<Side>(mut data: EncodeTlsData<'_, Side>, outgoing: &mut Vec<u8>) -> io::Result<()> {
    let start = outgoing.len();
    // The first call says how much room it takes.
    if let Err(EncodeError::InsufficientSize(short)) = data.encode(&mut []) {
        outgoing.resize(start + short.required_size, 0);
    }
    data.encode(&mut outgoing[start..]).map_err(io::Error::other)?;
    Ok(())
}

/// rustls hands out what it wants sent, the alert that goes with an error last, before it looks at what has come.
/// It must not look again: that would be a second error.
fn collect_alert<E: End>(end: &mut E, incoming: &mut Incoming, outgoing: &mut Vec<u8>) -> io::Result<()> {
    while end.common().wants_write() {
        let Ok(ConnectionState::EncodeTlsData(data)) = end.process(incoming.shown()).state else { break };
        append(data, outgoing)?;
    }
    Ok(())
}

/// Ends a handshake of TLS 1.2 before anything is encrypted.
fn refuse_old(outgoing: &mut Vec<u8>) -> io::Error {
    *outgoing = vec![21, 3, 3, 0, 2, 2, AlertDescription::ProtocolVersion.into()];
    invalid(Error::General(
        "the peer speaks TLS 1.2 only; let it speak TLS 1.3, or use the stream of rustls".into(),
    ))
}

fn finish<E: End>(end: E, incoming: Incoming) -> io::Result<Session> {
    let peer_certificates = end.common().peer_certificates().unwrap_or_default().to_vec();
    let alpn = end.common().alpn_protocol().map(<[u8]>::to_vec);
    let (ExtractedSecrets { tx, rx }, kernel) = end.into_kernel().map_err(invalid)?;
    let schedule = Schedule::new(kernel);
    Ok(Session {
        peer_certificates,
        alpn,
        sealer: Sealer::new(Key::new(tx.0, &tx.1).map_err(invalid)?, schedule.clone()),
        opener: Opener::new(Key::new(rx.0, &rx.1).map_err(invalid)?, schedule),
        received: incoming.into_rest(),
    })
}

#[cfg(test)]
mod tests;
