//! Which crate may depend on which: the table of ARCHITECTURE.md, held against
//! what cargo knows. Crates are walls only as long as someone watches them.

use cargo_metadata::{DependencyKind, Metadata, Package};

const MESH: [&str; 12] = [
    "mesh-proto",
    "mesh-frames",
    "mesh-net",
    "mesh-runtime",
    "mesh-record",
    "mesh-model",
    "mesh-xds",
    "mesh-authz",
    "mesh-identity",
    "mesh-telemetry",
    "mesh-state",
    "mesh-hbone",
];

/// Only tests may lean on it.
const TESTKIT: &str = "mesh-testkit";

/// What a crate may depend on; `None` for a crate the table does not know.
fn allowed(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "mesh-proto" | "mesh-frames" | "mesh-net" | "mesh-runtime" | "mesh-record" | "adit-bench" => &[],
        // It asks the certificate authority as a proxy does, for what a proxy would not.
        "adit-e2e" => &["mesh-model", "mesh-identity"],
        // It writes the CustomResourceDefinitions, which are made from the types of the objects.
        "xtask" => &["controller-translate"],
        "mesh-model" | "mesh-xds" => &["mesh-proto"],
        "mesh-authz" | "mesh-telemetry" => &["mesh-model"],
        "mesh-identity" => &["mesh-proto", "mesh-model"],
        "controller-translate" => &["mesh-model", "mesh-authz"],
        "mesh-state" => &["mesh-model", "mesh-xds"],
        "mesh-hbone" => {
            &["mesh-frames", "mesh-model", "mesh-identity", "mesh-net", "mesh-runtime", "mesh-record"]
        }
        "mesh-testkit" | "ztunnel" | "waypoint" => &MESH,
        "ztunnel-agent" => &["mesh-proto", "mesh-net", "mesh-runtime"],
        "ratelimit" => &["mesh-proto", "mesh-runtime"],
        "controller" => {
            &["mesh-proto", "mesh-model", "mesh-xds", "mesh-identity", "mesh-runtime", "controller-translate"]
        }
        // The program has everything in it; parsers, which have fuzz targets, are everywhere.
        "adit-cli" | "adit-fuzz" => &[
            "mesh-proto",
            "mesh-frames",
            "mesh-net",
            "mesh-runtime",
            "mesh-record",
            "mesh-model",
            "mesh-xds",
            "mesh-authz",
            "mesh-identity",
            "mesh-telemetry",
            "mesh-state",
            "mesh-hbone",
            "ztunnel",
            "ztunnel-agent",
            "waypoint",
            "ratelimit",
            "controller",
            "controller-translate",
        ],
        _ => return None,
    })
}

/// Beyond the table, what the tests of a crate may use.
fn allowed_in_tests(name: &str) -> &'static [&'static str] {
    match name {
        // Its tests capture traffic with the rules the agent programs.
        "ztunnel" => &["ztunnel-agent"],
        _ => &[],
    }
}

/// Every edge that the table does not allow, in words.
pub(crate) fn breaches(metadata: &Metadata) -> Vec<String> {
    let packages = metadata.workspace_packages();
    let ours: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    packages.iter().flat_map(|package| breaches_of(package, &ours)).collect()
}

fn breaches_of(package: &Package, ours: &[&str]) -> Vec<String> {
    let name = package.name.as_str();
    let Some(table) = allowed(name) else {
        return vec![format!("{name} is not in the table of crates; add it there and to ARCHITECTURE.md")];
    };
    let may = |dependency: &str, kind: DependencyKind| {
        table.contains(&dependency)
            || (kind == DependencyKind::Development
                && (dependency == TESTKIT || allowed_in_tests(name).contains(&dependency)))
    };
    package
        .dependencies
        .iter()
        .filter(|dependency| ours.contains(&dependency.name.as_str()))
        .filter(|dependency| !may(&dependency.name, dependency.kind))
        .map(|dependency| {
            format!(
                "{name} must not depend on {} ({}); see the table in ARCHITECTURE.md",
                dependency.name, dependency.kind
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{MESH, TESTKIT, allowed};

    #[test]
    fn no_crate_may_depend_on_a_proxy_or_the_testkit() {
        for name in
            MESH.iter().chain(["ztunnel", "waypoint", "ztunnel-agent", "ratelimit", "controller"].iter())
        {
            let table = allowed(name).unwrap();
            for forbidden in [TESTKIT, "ztunnel", "waypoint", "controller", "adit-cli", "adit-fuzz"] {
                assert!(!table.contains(&forbidden), "{name} -> {forbidden}");
            }
        }
    }

    #[test]
    fn an_unknown_crate_is_not_allowed_anything() {
        assert!(allowed("mesh-util").is_none());
    }
}
