//! Certificates, requests for them, and tokens, of an authority that is gone when this program ends.

use adit_fuzz::authority;
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mesh_identity::key::KeyRequest;
use mesh_model::Identity;
use mesh_proto::istio::ca::IstioCertificateRequest;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::Seed;

pub(crate) fn seeds() -> anyhow::Result<Vec<Seed>> {
    let web = Identity::new("cluster.local", "default", "web");
    let request = KeyRequest::generate(&web)?;
    let csr = request.csr_pem();
    let chain = authority::get().sign(csr, &web, 3600)?;
    let leaf = CertificateDer::from_pem_slice(chain[0].as_bytes()).map_err(anyhow::Error::msg)?;
    let server = authority::get().sign_server(&["istiod"], &[], std::time::Duration::from_hours(1))?;
    let server = CertificateDer::from_pem_slice(server.chain_pem.as_bytes()).map_err(anyhow::Error::msg)?;
    let (_, unarmoured) = x509_parser::pem::parse_x509_pem(csr.as_bytes()).context("the request")?;
    Ok(vec![
        ("peer_certificate", "workload", leaf.to_vec()),
        ("peer_certificate", "server", server.to_vec()),
        ("signing_request", "workload", unarmoured.contents),
        ("certificate_request", "own", message(csr, None).encode_to_vec()),
        ("certificate_request", "other", message(csr, Some(&web)).encode_to_vec()),
        ("certificate_chain", "other_key", chain.join("\0").into_bytes()),
        ("token", "forged", token().into_bytes()),
    ])
}

fn message(csr: &str, identity: Option<&Identity>) -> IstioCertificateRequest {
    let text = |text: String| Value { kind: Some(Kind::StringValue(text)) };
    let fields = identity.map(|it| [("ImpersonatedIdentity".to_owned(), text(it.to_string()))].into());
    IstioCertificateRequest {
        csr: csr.to_owned(),
        validity_duration: 3600,
        metadata: fields.map(|fields| Struct { fields }),
    }
}

/// Like one of Kubernetes, but for the signature.
fn token() -> String {
    let header = r#"{"alg":"ES256","kid":"k","typ":"JWT"}"#;
    let claims = r#"{"iss":"https://kubernetes.default.svc.cluster.local","aud":["istio-ca"],"exp":4102444800,"nbf":1,"sub":"system:serviceaccount:default:web","kubernetes.io":{"namespace":"default","serviceaccount":{"name":"web","uid":"u"},"pod":{"name":"web-1","uid":"p"}}}"#;
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{}.{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()), encode(&[7; 64]))
}
