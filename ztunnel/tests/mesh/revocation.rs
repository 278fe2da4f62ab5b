//! Revocation lists: who is on one is neither let in nor spoken to, from the
//! moment the file says so.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use mesh_model::Identity;
use mesh_testkit::node::Echo;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::world::{Place, World, echoed, ended_by_reset, eventually};

const APP: u16 = 8080;
/// How soon a list has to have its effect.
const SOON: Duration = Duration::from_secs(10);

/// A world that goes by revocation lists, two clients of one server, and the open connections of both.
struct Mesh {
    world: World,
    files: TempDir,
    revoked: Place,
    other: Place,
    server: Place,
    _echo: Echo,
}

impl Mesh {
    async fn start() -> Result<Option<Self>> {
        let files = tempfile::tempdir()?;
        let path = files.path().join("ca-crl.pem");
        // The file comes later (ID-19).
        let variables = [("CRL_PATH", path.to_str().unwrap())];
        let Some(mut world) = World::start_with(&variables).await? else { return Ok(None) };
        let revoked = world.captured(1, "revoked").await?;
        let other = world.captured(1, "other").await?;
        let server = world.captured(2, "server").await?;
        let echo = Echo::start(server.netns(), server.at(APP))?;
        for client in [&revoked, &other] {
            eventually(|| client.echoes(server.at(APP))).await?;
        }
        Ok(Some(Mesh { world, files, revoked, other, server, _echo: echo }))
    }

    fn take_back(&self, identity: &Identity) -> Result<()> {
        write(self.files.path(), &self.world.ca.take_back(&[identity]))
    }

    async fn counts(&self, node: u8, line: &str) -> Result<()> {
        let metrics = self.world.get(node, 15020, "/metrics").await?.1;
        ensure!(metrics.lines().any(|known| known.contains(line)), "no {line} in {metrics}");
        Ok(())
    }
}

fn write(directory: &Path, list: &str) -> Result<()> {
    std::fs::write(directory.join("fresh"), list)?;
    Ok(std::fs::rename(directory.join("fresh"), directory.join("ca-crl.pem"))?)
}

#[tokio::test]
async fn id_14_16_17_a_revoked_client_is_cut_off_and_not_let_in_again() -> Result<()> {
    let Some(mesh) = Mesh::start().await? else { return Ok(()) };
    let app = mesh.server.at(APP);
    let mut open = mesh.revoked.connect(app).await?;
    let mut untouched = mesh.other.connect(app).await?;
    echoed(&mut open, "hello").await?;
    echoed(&mut untouched, "hello").await?;

    let began = Instant::now();
    mesh.take_back(&mesh.revoked.identity())?;
    assert!(ended_by_reset(&mut open).await?, "a cut must not look like an end");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    mesh.revoked.is_refused(app).await?;
    echoed(&mut untouched, "still here").await?;
    mesh.other.echoes(app).await?;

    mesh.counts(2, "istio_crl_policy_rejections_total{reporter=\"destination\"}").await?;
    let line = mesh.world.logged(2, "connection failed", &[("direction", "inbound")]).await?;
    let error = line["error"].as_str().unwrap();
    assert!(error.contains(&mesh.revoked.identity().to_string()) && error.contains("revoked"), "{error}");

    // The list that takes nothing back lets it in again.
    write(mesh.files.path(), &mesh.world.ca.take_back(&[]))?;
    eventually(|| mesh.revoked.echoes(app)).await
}

#[tokio::test]
async fn id_14_16_a_revoked_server_is_not_spoken_to_any_more() -> Result<()> {
    let Some(mesh) = Mesh::start().await? else { return Ok(()) };
    let app = mesh.server.at(APP);
    let mut open = mesh.revoked.connect(app).await?;
    echoed(&mut open, "hello").await?;

    let began = Instant::now();
    mesh.take_back(&mesh.server.identity())?;
    assert!(ended_by_reset(&mut open).await?, "a cut must not look like an end");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    for client in [&mesh.revoked, &mesh.other] {
        eventually(|| client.is_refused(app)).await?;
    }
    mesh.counts(1, "istio_crl_policy_rejections_total{reporter=\"source\"}").await?;
    mesh.counts(1, "response_flags=\"CERT_REVOKED\"").await
}
