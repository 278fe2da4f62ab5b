//! A certificate in the dump (telemetry.md §8.5, AD-02).

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesh_identity::{Certificate, CertificateSummary, State};
use mesh_model::Identity;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An identity of the node with its certificate, if there is one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CertificateDump {
    pub(crate) identity: String,
    state: String,
    cert_chain: Vec<SummaryDump>,
    root_certs: Vec<SummaryDump>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryDump {
    /// Base64 of the PEM text, as the readers expect.
    pem: String,
    serial_number: String,
    valid_from: String,
    expiration_time: String,
}

impl CertificateDump {
    pub(crate) fn new(identity: &Identity, state: &State) -> Self {
        let (text, certificate) = match state {
            State::Initializing => ("Initializing".to_owned(), None),
            State::Available(certificate) => ("Available".to_owned(), Some(certificate)),
            State::Unavailable(reason) => (format!("Unavailable: {reason}"), None),
        };
        let all = |of: fn(&Certificate) -> Vec<CertificateSummary>| {
            certificate.map(|held| of(held).iter().map(SummaryDump::from).collect()).unwrap_or_default()
        };
        CertificateDump {
            identity: identity.to_string(),
            state: text,
            cert_chain: all(Certificate::chain),
            root_certs: all(Certificate::roots),
        }
    }
}

impl From<&CertificateSummary> for SummaryDump {
    fn from(summary: &CertificateSummary) -> Self {
        SummaryDump {
            pem: STANDARD.encode(summary.pem()),
            serial_number: summary.serial_number.clone(),
            valid_from: rfc_3339(summary.not_before),
            expiration_time: rfc_3339(summary.not_after),
        }
    }
}

fn rfc_3339(time: SystemTime) -> String {
    OffsetDateTime::from(time).format(&Rfc3339).unwrap_or_default()
}
