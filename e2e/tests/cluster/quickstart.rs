//! The steps of docs/kubernetes.md, word for word, on a cluster that has no mesh yet.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use adit_e2e::eventually;
use adit_e2e::guide::Guide;
use anyhow::{Context, Result, ensure};

/// What the checks below know of; a new step of the guide has to be put in its place here.
const STEPS: [&str; 12] = [
    "gateway-api",
    "install",
    "deploy",
    "label",
    "identities",
    "metrics",
    "waypoint",
    "split",
    "fault",
    "deny",
    "status",
    "uninstall",
];
/// An effect takes a moment to be everywhere.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder like the root of the repository, with the Gateway API's manifest in it that the user brings.
fn folder() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no root")?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("quickstart");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::create_dir_all(&folder)?;
    for name in ["docs", "helm"] {
        symlink(root.join(name), folder.join(name))?;
    }
    let crds =
        env::var("E2E_GATEWAY_API").context("E2E_GATEWAY_API has to name the Gateway API's manifest")?;
    symlink(fs::canonicalize(crds)?, folder.join("standard-install.yaml"))?;
    Ok(folder)
}

/// Runs a step until it prints what it should.
async fn until(guide: &Guide, step: &str, check: impl Fn(&str) -> bool) -> Result<()> {
    eventually(PATIENCE, async || {
        let text = guide.run(step).await?;
        ensure!(check(&text), "step {step} has printed:\n{text}");
        Ok(())
    })
    .await
}

/// Of lines `COUNT SERVICE VERSION`, the count of this version.
fn count_of(text: &str, version: &str) -> u32 {
    let line = text.lines().find(|line| line.trim_end().ends_with(version));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// What is left in the cluster that has our names.
async fn left() -> Result<String> {
    let kinds = "clusterroles,clusterrolebindings,validatingwebhookconfigurations,gatewayclasses,configmaps,namespaces";
    let output =
        tokio::process::Command::new("kubectl").args(["get", kinds, "-A", "-o", "name"]).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout)?;
    let ours = |line: &&str| ["adit", "istio", "ztunnel", "/shop"].iter().any(|name| line.contains(name));
    Ok(names.lines().filter(ours).collect::<Vec<_>>().join(", "))
}

async fn follow(guide: &Guide) -> Result<()> {
    ensure!(guide.steps() == STEPS, "the guide has other steps: {:?}", guide.steps());
    for step in ["gateway-api", "install", "deploy", "label"] {
        guide.run(step).await?;
    }
    let identity = |account: &str| format!("spiffe://cluster.local/ns/shop/sa/{account}");
    until(guide, "identities", |text| text.contains(&identity("productpage"))).await?;
    until(guide, "metrics", |text| text.contains("connection_security_policy=\"mutual_tls\"")).await?;
    guide.run("waypoint").await?;
    until(guide, "split", |text| {
        let (old, new) = (count_of(text, "v1"), count_of(text, "v2"));
        old + new == 100 && (1..=30).contains(&new)
    })
    .await?;
    until(guide, "fault", |text| {
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(" ms")).collect();
        matches!(lines[..], [jason, other] if jason.starts_with("503") && other.starts_with("200"))
    })
    .await?;
    until(guide, "deny", |text| text.contains("200  ratings") && text.contains("the till is shut out"))
        .await?;
    until(guide, "status", |text| text.contains("Accepted")).await?;
    guide.run("uninstall").await?;
    let left = left().await?;
    ensure!(left.is_empty(), "left behind: {left}");
    Ok(())
}

#[tokio::test]
async fn the_guide_does_what_it_says() {
    if env::var("E2E_QUICKSTART").is_err() {
        println!("left out: it installs and uninstalls the mesh; E2E_QUICKSTART=1 asks for it");
        return;
    }
    let result = async {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kubernetes.md"))?;
        follow(&Guide::new(&text, "quickstart", &folder()?)).await
    };
    if let Err(error) = result.await {
        panic!("{error:#}");
    }
}
