//! TLS towards endpoints, both ways.

use mesh_proto::adit::waypoint::v1 as proto;
use proto::tls_trust::Trust;

use crate::codec::DecodeError;
use crate::codec::field::{at, each, named, optional, or_empty, required};
use crate::{TlsClient, TlsTrust, UpstreamTls};

/// As large as certificates may be, in bytes.
const MOST_CERTIFICATES: usize = 1 << 20;

pub(super) fn decode(wire: proto::UpstreamTls) -> Result<UpstreamTls, DecodeError> {
    Ok(UpstreamTls {
        sni: optional(&wire.sni),
        subject_alt_names: each("subject_alt_names", wire.subject_alt_names, |name| named("", &name))?,
        trust: at("trust", decode_trust(required("trust", wire.trust)?))?,
        client: at("client", wire.client.map(decode_client).transpose())?,
    })
}

pub(super) fn encode(tls: &UpstreamTls) -> proto::UpstreamTls {
    let trust = match &tls.trust {
        TlsTrust::System => Trust::System(true),
        TlsTrust::File(path) => Trust::File(path.to_string()),
        TlsTrust::Pem(certificates) => Trust::Pem(certificates.to_string()),
        TlsTrust::Unverified => Trust::Unverified(true),
    };
    proto::UpstreamTls {
        sni: or_empty(tls.sni.as_ref()),
        subject_alt_names: tls.subject_alt_names.iter().map(ToString::to_string).collect(),
        trust: Some(proto::TlsTrust { trust: Some(trust) }),
        client: tls.client.as_ref().map(|client| proto::TlsClient {
            certificate_file: client.certificate_file.to_string(),
            key_file: client.key_file.to_string(),
        }),
    }
}

fn decode_trust(wire: proto::TlsTrust) -> Result<TlsTrust, DecodeError> {
    let no_meaning = |field| Err(DecodeError::new("false has no meaning").within(field));
    match required("trust", wire.trust)? {
        Trust::System(true) => Ok(TlsTrust::System),
        Trust::System(false) => no_meaning("system"),
        Trust::File(path) => named("file", &path).map(TlsTrust::File),
        Trust::Pem(certificates) if certificates.len() > MOST_CERTIFICATES => {
            let reason = format!("{} bytes, at most {MOST_CERTIFICATES} are taken", certificates.len());
            Err(DecodeError::new(reason).within("pem"))
        }
        Trust::Pem(certificates) => Ok(TlsTrust::Pem(certificates.into())),
        Trust::Unverified(true) => Ok(TlsTrust::Unverified),
        Trust::Unverified(false) => no_meaning("unverified"),
    }
}

fn decode_client(wire: proto::TlsClient) -> Result<TlsClient, DecodeError> {
    let certificate_file = named("certificate_file", &wire.certificate_file)?;
    Ok(TlsClient { certificate_file, key_file: named("key_file", &wire.key_file)? })
}
