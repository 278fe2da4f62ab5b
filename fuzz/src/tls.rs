//! Handshakes between workloads of one authority, with an end that has said everything beforehand.

use std::io;
use std::sync::OnceLock;

use mesh_identity::key::KeyRequest;
use mesh_identity::{Certificate, Profile, tls};
use mesh_model::Identity;
use mesh_record::Session;

use crate::authority;
use crate::wire::Wire;

/// What became of a handshake.
#[derive(Debug)]
pub struct Outcome {
    /// What [`mesh_record::connect`] or [`mesh_record::accept`] made of it.
    pub session: io::Result<Session>,
    /// What was written.
    pub written: Vec<u8>,
}

/// As a client, with a server that says this.
pub async fn connect(said: &[u8]) -> Outcome {
    let (mut wire, written) = Wire::saying(said);
    let config = tls::client_config(certificate(), &[identity()]);
    let session = mesh_record::connect(&mut wire, config, tls::server_name()).await;
    Outcome { session, written: written.bytes() }
}

/// As a server, with a client that says this.
pub async fn accept(said: &[u8]) -> Outcome {
    let (mut wire, written) = Wire::saying(said);
    let session = mesh_record::accept(&mut wire, tls::server_config(certificate())).await;
    Outcome { session, written: written.bytes() }
}

fn identity() -> Identity {
    Identity::new("cluster.local", "default", "web")
}

/// The certificate of both ends.
#[expect(clippy::expect_used, reason = "a target that cannot start has to say so")]
fn certificate() -> &'static Certificate {
    static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
    CERTIFICATE.get_or_init(|| {
        let request = KeyRequest::generate(&identity()).expect("a key");
        let chain = authority::get().sign(request.csr_pem(), &identity(), 3600).expect("a chain");
        Certificate::from_chain(&identity(), &chain, request, Profile::default()).expect("a certificate")
    })
}
