//! Kinds of objects as people name them on the command line.

use anyhow::{Result, bail};

/// A kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NamedKind {
    /// In small letters, singular.
    pub(super) name: &'static str,
    short: &'static [&'static str],
    pub(super) is_namespaced: bool,
}

const fn kind(name: &'static str, short: &'static [&'static str]) -> NamedKind {
    NamedKind { name, short, is_namespaced: true }
}

const KINDS: [NamedKind; 32] = [
    NamedKind { is_namespaced: false, ..kind("namespace", &["ns"]) },
    NamedKind { is_namespaced: false, ..kind("node", &["no"]) },
    NamedKind { is_namespaced: false, ..kind("gatewayclass", &["gc"]) },
    kind("serviceaccount", &["sa"]),
    kind("pod", &["po"]),
    kind("deployment", &["deploy"]),
    kind("service", &["svc"]),
    kind("endpointslice", &[]),
    kind("gateway", &["gtw"]),
    kind("httproute", &[]),
    kind("grpcroute", &[]),
    kind("tlsroute", &[]),
    kind("tcproute", &[]),
    kind("backendtlspolicy", &["btlspolicy"]),
    kind("virtualservice", &["vs"]),
    kind("destinationrule", &["dr"]),
    kind("serviceentry", &["se"]),
    kind("workloadentry", &["we"]),
    kind("workloadgroup", &["wg"]),
    kind("sidecar", &[]),
    kind("proxyconfig", &[]),
    kind("envoyfilter", &[]),
    kind("wasmplugin", &[]),
    kind("trafficextension", &[]),
    kind("telemetry", &["telemetries"]),
    kind("authorizationpolicy", &["ap"]),
    kind("peerauthentication", &["pa"]),
    kind("requestauthentication", &["ra"]),
    kind("ratelimitpolicy", &[]),
    kind("resiliencepolicy", &[]),
    kind("configmap", &["cm"]),
    kind("secret", &[]),
];

/// The kind of that name, plural or short name.
pub(super) fn find(text: &str) -> Result<NamedKind> {
    let text = text.to_ascii_lowercase();
    let singular = singular_of(&text);
    let fits =
        |kind: &&NamedKind| kind.name == text || kind.name == singular || kind.short.contains(&text.as_str());
    match KINDS.iter().find(fits) {
        Some(kind) => Ok(*kind),
        None => {
            let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
            bail!("unknown kind {text:?}; known are {}", names.join(", "))
        }
    }
}

/// Of a plural; what is none comes out as something that is no name.
fn singular_of(text: &str) -> String {
    if let Some(stem) = text.strip_suffix("ies") {
        return format!("{stem}y");
    }
    let stem = text.strip_suffix("es").filter(|it| it.ends_with('s')).or_else(|| text.strip_suffix('s'));
    stem.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_all_their_names() {
        for (text, name) in [
            ("pods", "pod"),
            ("Service", "service"),
            ("gatewayclasses", "gatewayclass"),
            ("vs", "virtualservice"),
            ("authorizationpolicies", "authorizationpolicy"),
            ("HTTPRoutes", "httproute"),
            ("tcproutes", "tcproute"),
            ("serviceentries", "serviceentry"),
            ("BackendTLSPolicies", "backendtlspolicy"),
            ("telemetry", "telemetry"),
            ("dr", "destinationrule"),
            ("ns", "namespace"),
        ] {
            assert_eq!(find(text).unwrap().name, name, "{text}");
        }
        assert!(find("thing").unwrap_err().to_string().contains("unknown kind \"thing\""));
    }
}
