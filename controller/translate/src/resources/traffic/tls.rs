//! TLS towards endpoints outside the mesh.

use std::sync::Arc;

use mesh_model::{TlsClient, TlsTrust, UpstreamTls};

use crate::objects::{ClientTlsMode, ClientTlsSettings};

/// None where none is asked for, and for ISTIO_MUTUAL: the tunnel is that (L7-22).
pub(super) fn translate(written: &ClientTlsSettings) -> Option<UpstreamTls> {
    let text = |text: &Option<String>| text.as_deref().filter(|it| !it.is_empty()).map(Arc::<str>::from);
    let client = match written.mode {
        ClientTlsMode::Disable | ClientTlsMode::IstioMutual => return None,
        ClientTlsMode::Simple => None,
        ClientTlsMode::Mutual => match (text(&written.client_certificate), text(&written.private_key)) {
            (Some(certificate_file), Some(key_file)) => Some(TlsClient { certificate_file, key_file }),
            _ => None,
        },
    };
    Some(UpstreamTls {
        sni: text(&written.sni),
        subject_alt_names: written.subject_alt_names.iter().map(|name| name.as_str().into()).collect(),
        trust: trust(written, text(&written.ca_certificates)),
        client,
    })
}

fn trust(written: &ClientTlsSettings, ca_certificates: Option<Arc<str>>) -> TlsTrust {
    if needs_secret(written) {
        // What was to go out with certificates that cannot be had goes nowhere.
        return TlsTrust::Pem("".into());
    }
    if written.insecure_skip_verify == Some(true) {
        return TlsTrust::Unverified;
    }
    ca_certificates.map_or(TlsTrust::System, TlsTrust::File)
}

/// Whether it needs certificates of a Secret, which waypoints are not given.
pub(super) fn needs_secret(written: &ClientTlsSettings) -> bool {
    let verifies = written.insecure_skip_verify != Some(true);
    match written.mode {
        ClientTlsMode::Disable | ClientTlsMode::IstioMutual => false,
        ClientTlsMode::Simple => written.credential_name.is_some() && verifies,
        ClientTlsMode::Mutual => written.credential_name.is_some(),
    }
}
