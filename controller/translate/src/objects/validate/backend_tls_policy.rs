//! Checks of BackendTLSPolicy.

use gateway_api::backendtlspolicies::{
    BackendTlsPolicySpec, BackendTlsPolicyValidationSubjectAltNamesType as NameType,
};

use super::{Checks, repeated};

pub(super) fn check(spec: &BackendTlsPolicySpec, checks: &mut Checks) {
    if spec.target_refs.is_empty() {
        checks.fail("spec.targetRefs", "at least one is needed");
    }
    checks.at_most("spec.targetRefs", &spec.target_refs, 16);
    let targets = spec.target_refs.iter().map(|it| (&it.group, &it.kind, &it.name, &it.section_name));
    for at in repeated(targets) {
        checks.fail(format!("spec.targetRefs[{at}]"), "is there twice");
    }
    let validation = &spec.validation;
    if validation.hostname.is_empty() {
        checks.fail("spec.validation.hostname", "is needed");
    }
    let references = validation.ca_certificate_refs.as_deref().unwrap_or_default();
    checks.at_most("spec.validation.caCertificateRefs", references, 8);
    let well_known = validation.well_known_ca_certificates.as_deref().unwrap_or_default();
    if references.is_empty() == well_known.is_empty() {
        let reason = "exactly one of caCertificateRefs and wellKnownCACertificates is needed";
        checks.fail("spec.validation", reason);
    }
    for (at, name) in validation.subject_alt_names.iter().flatten().enumerate() {
        let (field, written) = match name.r#type {
            NameType::Hostname => ("hostname", &name.hostname),
            NameType::Uri => ("uri", &name.uri),
        };
        if written.as_deref().unwrap_or_default().is_empty() {
            checks.fail(format!("spec.validation.subjectAltNames[{at}].{field}"), "is needed");
        }
    }
}
