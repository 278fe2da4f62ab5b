//! What a node can run out of, and pods that are gone without a word.

use std::process::Command;

use anyhow::{Result, ensure};
use mesh_testkit::node::Echo;

use crate::world::{World, echoed, eventually, until};

const APP: u16 = 8080;
const SAID: &str = "cannot accept connections";

/// Lets a process have so many descriptors.
fn limit(pid: u32, descriptors: usize) -> Result<()> {
    let limit = format!("--nofile={descriptors}:");
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status()?;
    ensure!(status.success(), "prlimit: {status}");
    Ok(())
}

#[tokio::test]
async fn sec_without_descriptors_what_is_open_goes_on_and_the_rest_waits() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let outsider = world.uncaptured(1, "outsider").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    eventually(|| client.echoes(server.at(APP))).await?;
    let mut bystander = client.connect(server.at(APP)).await?;
    echoed(&mut bystander, "before").await?;

    let pid = world.pid(2)?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    limit(pid, open + 20)?;
    let mut flood = Vec::new();
    let told = until(|| async { world.raw_log(2).contains(SAID).then_some(()) });
    tokio::pin!(told);
    loop {
        // The kernel accepts what ztunnel cannot.
        tokio::select! {
            told = &mut told => break told?,
            stream = outsider.connect(server.at(APP)), if flood.len() < 200 => flood.push(stream?),
        }
    }
    echoed(&mut bystander, "without descriptors").await?;
    ensure!(world.pid(2)? == pid, "it is still the same process");
    // One line of each listener in half a minute, not one for each try.
    let lines = world.raw_log(2).lines().filter(|line| line.contains(SAID)).count();
    ensure!(lines <= 16, "{lines} lines");

    drop(flood);
    limit(pid, 4096)?;
    eventually(|| client.echoes(server.at(APP))).await?;
    echoed(&mut bystander, "after").await
}

#[tokio::test]
async fn cni_20_a_namespace_that_vanishes_harms_no_other_pod() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let ghost = world.captured(2, "ghost").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    eventually(|| client.echoes(server.at(APP))).await?;
    let mut stream = client.connect(server.at(APP)).await?;
    echoed(&mut stream, "before").await?;
    // Nobody says that it is gone; what is left of it is a descriptor, which is handed over once more.
    drop(ghost);
    world.restart_agent(2)?;
    world.until_ready(2).await?;
    echoed(&mut stream, "beside a ghost").await?;
    let next = world.captured(2, "next").await?;
    let _second = Echo::start(next.netns(), next.at(APP))?;
    eventually(|| client.echoes(next.at(APP))).await?;
    client.echoes(server.at(APP)).await
}
