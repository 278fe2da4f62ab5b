//! The message by which a certificate is asked for: the identity it names, its lifetime, its request.
#![no_main]

use adit_fuzz::authority;
use controller::fuzzing::asked_for;
use libfuzzer_sys::fuzz_target;
use mesh_identity::tls::peer_identity;
use mesh_model::Identity;
use mesh_proto::istio::ca::IstioCertificateRequest;
use prost::Message;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

fuzz_target!(|data: &[u8]| {
    let Ok(request) = IstioCertificateRequest::decode(data) else { return };
    let identity = match asked_for(&request) {
        Ok(named) => named.unwrap_or_else(|| Identity::new("cluster.local", "default", "web")),
        Err(reason) => return assert!(!reason.is_empty()),
    };
    if let Ok(chain) = authority::get().sign(&request.csr, &identity, request.validity_duration) {
        let leaf = CertificateDer::from_pem_slice(chain[0].as_bytes()).unwrap();
        assert_eq!(peer_identity(Some(&[leaf])), Ok(identity));
    }
});
