//! Who a peer is, by the certificate it presents: a second parser of certificates sees the same name first.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mesh_identity::tls::peer_identity;
use mesh_model::Identity;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

fuzz_target!(|data: &[u8]| {
    let Ok(identity) = peer_identity(Some(&[CertificateDer::from(data)])) else { return };
    assert_eq!(identity.to_string().parse().as_ref(), Ok(&identity));
    let Ok((_, parsed)) = X509Certificate::from_der(data) else { return };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return };
    let first = names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(text) => text.parse::<Identity>().ok(),
        _ => None,
    });
    assert_eq!(first, Some(identity));
});
