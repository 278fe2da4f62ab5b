//! BackendTLSPolicies: TLS towards the endpoints of Services and ServiceEntries (GW-46, EG-13). What cannot be checked
//! as asked is not sent at all: connections fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_api::backendtlspolicies::{
    BackendTlsPolicySpec, BackendTlsPolicyTargetRefs, BackendTlsPolicyValidationCaCertificateRefs,
    BackendTlsPolicyValidationSubjectAltNames, BackendTlsPolicyValidationSubjectAltNamesType as NameType,
};
use mesh_model::{TlsTrust, UpstreamTls};

use crate::cluster::{Cluster, Kept, Name, ServiceObject};
use crate::objects::{Kind, ObjectKey};

/// As many bytes of certificates as a waypoint takes.
const MOST_CERTIFICATES: usize = 1 << 20;

type Policy<'a> = (&'a Name, &'a Kept<BackendTlsPolicySpec>);

/// What becomes of a policy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BackendTls {
    pub(crate) tls: UpstreamTls,
    /// What is wrong with its references to certificates: a word and a sentence, one for each.
    pub(crate) broken: Vec<(&'static str, String)>,
    /// Why no certificate is good; a word and a sentence.
    pub(crate) unusable: Option<(&'static str, String)>,
}

/// The Service or ServiceEntry that a policy's reference names, if it names one.
pub(crate) fn target(policy: &Name, reference: &BackendTlsPolicyTargetRefs) -> Option<ObjectKey> {
    let kind = match (reference.group.as_str(), reference.kind.as_str()) {
        ("" | "core", "Service") => Kind::Service,
        ("networking.istio.io", "ServiceEntry") => Kind::ServiceEntry,
        _ => return None,
    };
    Some(ObjectKey::new(kind, policy.namespace.clone(), reference.name.as_str()))
}

/// The policy that decides where several name the same port, or the same whole object: the oldest.
pub(crate) fn deciding<'a>(
    cluster: &'a Cluster,
    key: &ObjectKey,
    section: Option<&str>,
) -> Option<Policy<'a>> {
    let names = |(at, object): &Policy<'a>| {
        let mut targets = object.spec.target_refs.iter();
        targets.any(|it| target(at, it).as_ref() == Some(key) && it.section_name.as_deref() == section)
    };
    let policies = cluster.backend_tls_policies.in_namespace(&key.namespace).filter(names);
    policies.min_by_key(|(at, object)| (object.facts.created, *at))
}

/// By port of an object that stands for services. A policy for a port goes before one for the whole.
pub(super) fn by_port(cluster: &Cluster, object: ServiceObject<'_>) -> BTreeMap<u16, UpstreamTls> {
    let key = object.key();
    let whole = deciding(cluster, &key, None);
    let policies = object.ports().iter().filter_map(|port| {
        let own = port.name.as_deref().and_then(|name| deciding(cluster, &key, Some(name)));
        let (at, policy) = own.or(whole)?;
        Some((port.number, translate(cluster, at, &policy.spec).tls))
    });
    policies.collect()
}

pub(crate) fn translate(cluster: &Cluster, at: &Name, spec: &BackendTlsPolicySpec) -> BackendTls {
    let validation = &spec.validation;
    let mut broken = Vec::new();
    let (trust, unusable) = match validation.well_known_ca_certificates.as_deref().unwrap_or_default() {
        "System" => (TlsTrust::System, None),
        "" => {
            let references = validation.ca_certificate_refs.as_deref().unwrap_or_default();
            let certificates = certificates(cluster, at, references, &mut broken);
            let unusable = certificates.is_empty().then(|| {
                let message = "there is no certificate to check servers by; connections fail";
                ("NoValidCACertificate", message.to_owned())
            });
            (TlsTrust::Pem(certificates.into()), unusable)
        }
        other => {
            let message = format!(
                "spec.validation.wellKnownCACertificates: {other:?} is not known, use \"System\"; connections fail"
            );
            (TlsTrust::Pem("".into()), Some(("Invalid", message)))
        }
    };
    let hostname = Some(validation.hostname.as_str()).filter(|name| !name.is_empty());
    let names = validation.subject_alt_names.iter().flatten().filter_map(alternative_name);
    let tls =
        UpstreamTls { sni: hostname.map(Arc::from), subject_alt_names: names.collect(), trust, client: None };
    BackendTls { tls, broken, unusable }
}

fn alternative_name(name: &BackendTlsPolicyValidationSubjectAltNames) -> Option<Arc<str>> {
    let written = match name.r#type {
        NameType::Hostname => name.hostname.as_deref(),
        NameType::Uri => name.uri.as_deref(),
    };
    written.filter(|name| !name.is_empty()).map(Arc::from)
}

/// All that can be used, one after the other.
fn certificates(
    cluster: &Cluster,
    policy: &Name,
    references: &[BackendTlsPolicyValidationCaCertificateRefs],
    broken: &mut Vec<(&'static str, String)>,
) -> String {
    let mut all = String::new();
    for (at, reference) in references.iter().enumerate() {
        let path = format!("spec.validation.caCertificateRefs[{at}]");
        let (group, kind) = (reference.group.as_str(), reference.kind.as_str());
        if !matches!(group, "" | "core") || kind != "ConfigMap" {
            let message = format!("{path}: {kind} of group {group:?} has no certificates; use a ConfigMap");
            broken.push(("InvalidKind", message));
            continue;
        }
        let map = Name::new(policy.namespace.clone(), reference.name.as_str());
        let unread = || Err("has not been read (yet); ConfigMaps are read in a cluster only".to_owned());
        match cluster.certificates.get(&map).cloned().unwrap_or_else(unread) {
            Ok(more) if all.len() + more.len() < MOST_CERTIFICATES => {
                all.push_str(&more);
                all.push('\n');
            }
            Ok(_) => broken.push((
                "InvalidCACertificateRef",
                format!("{path}: ConfigMap {map} has too many certificates; a MiB is taken"),
            )),
            Err(reason) => {
                broken.push(("InvalidCACertificateRef", format!("{path}: ConfigMap {map} {reason}")));
            }
        }
    }
    all
}
