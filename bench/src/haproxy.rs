//! The nearest thing to buy: a pair of HAProxies that carry TCP as mTLS, each
//! side proving itself by a certificate of one authority, TLS 1.3 and AES-GCM
//! as in the mesh.

use std::fs;
use std::path::Path;

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::manifests::{HAPROXY_NEAR, HAPROXY_WIRE, SERVER_PORT};

/// Writes the configuration and certificates of both sides into `folder`.
pub(crate) fn write(folder: &Path, far: &str) -> anyhow::Result<()> {
    certificates(folder)?;
    let folder_text = folder.display();
    let tls = format!("crt {folder_text}/peer.pem ca-file {folder_text}/ca.pem verify required");
    let near = format!("bind 127.0.0.1:{HAPROXY_NEAR}");
    let near = configuration(&near, &format!("server far {far}:{HAPROXY_WIRE} ssl {tls} verifyhost peer"));
    let far = configuration(
        &format!("bind 0.0.0.0:{HAPROXY_WIRE} ssl {tls}"),
        &format!("server app 127.0.0.1:{SERVER_PORT}"),
    );
    fs::write(folder.join("near.cfg"), near)?;
    fs::write(folder.join("far.cfg"), far)?;
    Ok(())
}

fn configuration(bind: &str, server: &str) -> String {
    format!(
        "global\n  maxconn 8192\n  ssl-default-bind-options ssl-min-ver TLSv1.3\n  \
         ssl-default-server-options ssl-min-ver TLSv1.3\n\
         defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n\
         frontend in\n  {bind}\n  default_backend out\n\
         backend out\n  {server}\n"
    )
}

fn certificates(folder: &Path) -> anyhow::Result<()> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // With one name for both, OpenSSL would take the peer's certificate for self-signed.
    ca.distinguished_name.push(DnType::CommonName, "bench authority");
    let ca_certificate = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate()?;
    let peer = CertificateParams::new(vec!["peer".to_owned()])?.signed_by(&key, &issuer)?;
    fs::write(folder.join("ca.pem"), ca_certificate.pem())?;
    fs::write(folder.join("peer.pem"), format!("{}{}", peer.pem(), key.serialize_pem()))
        .context("cannot write HAProxy's certificate")
}
