//! The files and certificates a policy names, read into a rustls configuration.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use mesh_model::{TlsTrust, UpstreamTls};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::verify::{NameVerifier, NoVerifier};
use crate::provider::{Profile, provider};

/// What tells a file from the one that takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    fn of(path: &str) -> Stamp {
        let found = fs::metadata(path).ok();
        Stamp(found.and_then(|found| Some((found.modified().ok()?, found.len(), found.ino()))))
    }
}

/// The files of a policy as they are now.
pub(super) fn stamps(policy: &UpstreamTls) -> Vec<Stamp> {
    let trust = match &policy.trust {
        TlsTrust::File(path) => Some(path),
        TlsTrust::System | TlsTrust::Pem(_) | TlsTrust::Unverified => None,
    };
    let client = policy.client.iter().flat_map(|client| [&client.certificate_file, &client.key_file]);
    trust.into_iter().chain(client).map(|path| Stamp::of(path)).collect()
}

/// A configuration as the policy says; else what is wrong with what it names. Reads files.
pub(super) fn build(policy: &UpstreamTls, profile: Profile) -> Result<Arc<ClientConfig>, String> {
    let provider = provider(profile);
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(profile.versions())
        .map_err(|error| error.to_string())?
        .dangerous();
    let names = policy.subject_alt_names.clone();
    let trusting = |roots| Arc::new(NameVerifier { roots, names: names.clone(), algorithms });
    let builder = match &policy.trust {
        TlsTrust::System => builder.with_custom_certificate_verifier(trusting(system_roots()?)),
        TlsTrust::File(path) => {
            let roots = roots(&read(path)?).map_err(|reason| format!("{path}: {reason}"))?;
            builder.with_custom_certificate_verifier(trusting(roots))
        }
        TlsTrust::Pem(text) => {
            let roots = roots(text.as_bytes()).map_err(|reason| format!("the policy's CA: {reason}"))?;
            builder.with_custom_certificate_verifier(trusting(roots))
        }
        TlsTrust::Unverified => builder.with_custom_certificate_verifier(Arc::new(NoVerifier(algorithms))),
    };
    let Some(client) = &policy.client else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let chain = certificates(&read(&client.certificate_file)?)
        .map_err(|reason| format!("{}: {reason}", client.certificate_file))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&client.key_file)?)
        .map_err(|error| format!("{}: {error}", client.key_file))?;
    let config = builder.with_client_auth_cert(chain, key);
    config.map(Arc::new).map_err(|error| format!("{}: {error}", client.certificate_file))
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    fs::read(Path::new(path))
        .map_err(|error| format!("cannot read {path}: {error}; mount it into the waypoint"))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => Err("it holds no certificate".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(error.to_string()),
    }
}

fn roots(pem: &[u8]) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(certificates(pem)?) {
        (0, _) => Err("it holds no usable certificate".to_owned()),
        _ => Ok(Arc::new(roots)),
    }
}

/// What the system trusts, or `SSL_CERT_FILE` says; read once, as long as there is something.
fn system_roots() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(roots.clone());
    }
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs) {
        (0, _) => {
            Err("the system trusts no certificate; mount some and name them in SSL_CERT_FILE".to_owned())
        }
        _ => Ok(ROOTS.get_or_init(|| Arc::new(roots)).clone()),
    }
}
