//! A request for a certificate, without its armour: whatever it asks for, the certificate
//! names the identity that was proven and nobody else.
#![no_main]

use adit_fuzz::authority;
use libfuzzer_sys::fuzz_target;
use mesh_identity::authority::SignError;
use mesh_identity::tls::peer_identity;
use mesh_model::Identity;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

fuzz_target!(|data: &[u8]| {
    let proven = Identity::new("cluster.local", "default", "web");
    let request = authority::armoured("CERTIFICATE REQUEST", data);
    match authority::get().sign(&request, &proven, 3600) {
        Ok(chain) => {
            let leaf = CertificateDer::from_pem_slice(chain[0].as_bytes()).unwrap();
            assert_eq!(peer_identity(Some(&[leaf])), Ok(proven));
        }
        Err(SignError::Request(reason)) => assert!(!reason.is_empty()),
        Err(other) => panic!("{other}"),
    }
});
