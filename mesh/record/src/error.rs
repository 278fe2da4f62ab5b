//! What goes wrong with records, one variant for each thing a caller can do about it.

use std::io;

use rustls::AlertDescription;
use thiserror::Error;

/// Why a record was neither sealed nor opened.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RecordError {
    /// The peer, or somebody on the way, broke TLS: send `alert` and close.
    #[error("the peer's TLS is broken: {what}; see what stands between here and there")]
    BadRecord {
        /// What [`Sealer::alert`](crate::Sealer::alert) is to tell the peer.
        alert: AlertDescription,
        /// What was wrong.
        what: &'static str,
    },
    /// The peer gave up: close, it listens no longer.
    #[error("the peer ended the connection with the TLS alert {0:?}; its log says why")]
    PeerAlert(AlertDescription),
    /// The key has sealed as much as it may: call [`Sealer::update_key`](crate::Sealer::update_key), then again.
    #[error("the key has sealed as many records as it may; update it first")]
    Worn,
    /// Nothing comes after a close or an error.
    #[error("the TLS connection is closed; open another")]
    Closed,
    /// A buffer to seal in holds no payload, or more of it than a record may carry.
    #[error("{0} bytes are no record; leave room for header and trailer around 1 to 16384 bytes")]
    WrongLength(usize),
    /// The cryptography itself failed: close.
    #[error("TLS cryptography failed: {0}")]
    Cryptography(rustls::Error),
}

impl RecordError {
    pub(crate) fn bad(alert: AlertDescription, what: &'static str) -> RecordError {
        RecordError::BadRecord { alert, what }
    }

    /// The alert to send before closing, if the peer is owed one (RFC 8446 §6.2).
    pub fn alert_owed(&self) -> Option<AlertDescription> {
        match self {
            RecordError::BadRecord { alert, .. } => Some(*alert),
            RecordError::Cryptography(_) => Some(AlertDescription::InternalError),
            RecordError::PeerAlert(_)
            | RecordError::Worn
            | RecordError::Closed
            | RecordError::WrongLength(_) => None,
        }
    }
}

impl From<RecordError> for io::Error {
    /// The peer's alert comes out as from rustls's own stream: `InvalidData` around `rustls::Error::AlertReceived`.
    fn from(error: RecordError) -> io::Error {
        match error {
            RecordError::PeerAlert(alert) => {
                io::Error::new(io::ErrorKind::InvalidData, rustls::Error::AlertReceived(alert))
            }
            RecordError::BadRecord { .. } => io::Error::new(io::ErrorKind::InvalidData, error),
            RecordError::Closed => io::Error::new(io::ErrorKind::NotConnected, error),
            RecordError::WrongLength(_) => io::Error::new(io::ErrorKind::InvalidInput, error),
            RecordError::Worn | RecordError::Cryptography(_) => io::Error::other(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_alert_and_its_kind() {
        let bad = RecordError::bad(AlertDescription::RecordOverflow, "too much");
        let failed = RecordError::Cryptography(rustls::Error::EncryptError);
        let heard = RecordError::PeerAlert(AlertDescription::UnknownCA);
        for (error, alert, kind) in [
            (bad, Some(AlertDescription::RecordOverflow), io::ErrorKind::InvalidData),
            (failed, Some(AlertDescription::InternalError), io::ErrorKind::Other),
            // Who gave up is owed nothing.
            (heard, None, io::ErrorKind::InvalidData),
            (RecordError::Worn, None, io::ErrorKind::Other),
            (RecordError::Closed, None, io::ErrorKind::NotConnected),
            (RecordError::WrongLength(3), None, io::ErrorKind::InvalidInput),
        ] {
            assert_eq!(error.alert_owed(), alert, "{error}");
            assert_eq!(io::Error::from(error.clone()).kind(), kind, "{error}");
        }
    }
}
