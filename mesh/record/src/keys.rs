//! The keys of one direction, and where the next ones come from.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{AlertDescription, ConnectionTrafficSecrets};

use crate::RecordError;
use crate::wire::{HEADER, TAG};

/// One key with the number of its next record. The numbers only grow and a key has one
/// owner, so no nonce is used twice.
pub(crate) struct Key {
    aead: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
}

impl Key {
    /// `sequence` is the number of the first record to come.
    pub(crate) fn new(sequence: u64, secrets: &ConnectionTrafficSecrets) -> Result<Key, rustls::Error> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(rustls::Error::General("a cipher suite without a record layer here".into())),
        };
        let key = Key::from_bytes(sequence, algorithm, key.as_ref(), iv.as_ref());
        key.ok_or_else(|| rustls::Error::General("a key of the wrong length".into()))
    }

    fn from_bytes(sequence: u64, algorithm: &'static Algorithm, key: &[u8], iv: &[u8]) -> Option<Key> {
        let aead = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
        Some(Key { aead, iv: iv.try_into().ok()?, sequence })
    }

    /// How many records this key has seen.
    pub(crate) fn records(&self) -> u64 {
        self.sequence
    }

    /// Encrypts `text` where it lies; the answer is its tag.
    pub(crate) fn seal(&mut self, header: [u8; HEADER], text: &mut [u8]) -> Result<[u8; TAG], RecordError> {
        let nonce = self.next_nonce()?;
        let sealed = self.aead.seal_in_place_separate_tag(nonce, Aad::from(header), text);
        let tag = sealed.ok().and_then(|tag| tag.as_ref().try_into().ok());
        tag.ok_or(RecordError::Cryptography(rustls::Error::EncryptError))
    }

    /// Decrypts `text` where it lies. False if not the owner of the same key made it, as his next record.
    pub(crate) fn open(
        &mut self,
        header: [u8; HEADER],
        text: &mut [u8],
        tag: &[u8; TAG],
    ) -> Result<bool, RecordError> {
        let nonce = self.next_nonce()?;
        Ok(self.aead.open_in_place_separate_tag(nonce, Aad::from(header), tag, text).is_ok())
    }

    /// RFC 8446 §5.3: the initialization vector, with the number of the record folded in.
    fn next_nonce(&mut self) -> Result<Nonce, RecordError> {
        let mut nonce = self.iv;
        for (byte, part) in nonce[NONCE_LEN - 8..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= part;
        }
        // Sealing stops long before, opening would take millennia; a number that came round would still be fatal.
        self.sequence = self.sequence.checked_add(1).ok_or(RecordError::Worn)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

/// What rustls keeps of a connection once it has given the keys away.
pub(crate) trait Secrets: Send {
    /// The next secrets to seal with.
    fn next_sealing(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error>;

    /// The next secrets to open with.
    fn next_opening(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error>;

    /// Keeps the body of a NewSessionTicket for connections to come.
    fn keep_ticket(&mut self, ticket: &[u8]) -> Result<(), RecordError>;
}

/// rustls's object with what is to be done with a ticket, the one thing in which its two sides differ.
pub(crate) struct Kernel<Side> {
    pub(crate) connection: KernelConnection<Side>,
    pub(crate) keep_ticket: fn(&mut KernelConnection<Side>, &[u8]) -> Result<(), RecordError>,
}

impl<Side: Send> Secrets for Kernel<Side> {
    fn next_sealing(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error> {
        self.connection.update_tx_secret().map(|(_, secrets)| secrets)
    }

    fn next_opening(&mut self) -> Result<ConnectionTrafficSecrets, rustls::Error> {
        self.connection.update_rx_secret().map(|(_, secrets)| secrets)
    }

    fn keep_ticket(&mut self, ticket: &[u8]) -> Result<(), RecordError> {
        (self.keep_ticket)(&mut self.connection, ticket)
    }
}

/// What a client does with a ticket; whether it is used is the matter of rustls's configuration.
pub(crate) fn keep_ticket(
    connection: &mut KernelConnection<ClientConnectionData>,
    ticket: &[u8],
) -> Result<(), RecordError> {
    connection
        .handle_new_session_ticket(ticket)
        .map_err(|_| RecordError::bad(AlertDescription::DecodeError, "a session ticket that is none"))
}

/// What a server does: only servers give tickets.
pub(crate) fn refuse_ticket(
    _: &mut KernelConnection<ServerConnectionData>,
    _: &[u8],
) -> Result<(), RecordError> {
    Err(RecordError::bad(AlertDescription::UnexpectedMessage, "a session ticket from a client"))
}

/// The next keys of both directions. rustls derives them from one object, so sealing and
/// opening share it behind a lock, which is taken for key updates and tickets and for no record.
#[derive(Clone)]
pub(crate) struct Schedule(Arc<Mutex<dyn Secrets>>);

impl Schedule {
    pub(crate) fn new(secrets: impl Secrets + 'static) -> Schedule {
        Schedule(Arc::new(Mutex::new(secrets)))
    }

    pub(crate) fn next_sealing(&self) -> Result<Key, RecordError> {
        self.with(|secrets| fresh(secrets.next_sealing()))
    }

    pub(crate) fn next_opening(&self) -> Result<Key, RecordError> {
        self.with(|secrets| fresh(secrets.next_opening()))
    }

    pub(crate) fn keep_ticket(&self, ticket: &[u8]) -> Result<(), RecordError> {
        self.with(|secrets| secrets.keep_ticket(ticket))
    }

    fn with<T>(&self, ask: impl FnOnce(&mut dyn Secrets) -> T) -> T {
        ask(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Records are counted anew under each key (§5.3).
fn fresh(secrets: Result<ConnectionTrafficSecrets, rustls::Error>) -> Result<Key, RecordError> {
    secrets.and_then(|secrets| Key::new(0, &secrets)).map_err(RecordError::Cryptography)
}

#[cfg(test)]
mod tests;
