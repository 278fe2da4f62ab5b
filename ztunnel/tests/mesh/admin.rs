//! ztunnel's own servers.

use anyhow::Result;
use mesh_testkit::node::Echo;

use crate::world::{World, echoed, eventually, until};

const APP: u16 = 8080;

#[tokio::test]
async fn ad_01_02_05_12_the_dump_tells_what_is_and_what_goes_on() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let client = world.captured(1, "client").await?;
    let server = world.captured(2, "server").await?;
    let _echo = Echo::start(server.netns(), server.at(APP))?;
    eventually(|| client.echoes(server.at(APP))).await?;
    let mut stream = client.connect(server.at(APP)).await?;
    echoed(&mut stream, "hello").await?;

    let dump = world.dump(1).await?;
    let workloads = dump["workloads"].as_array().unwrap();
    assert!(workloads.iter().any(|workload| workload["name"] == "server" && workload["protocol"] == "HBONE"));
    let certificate = &dump["certificates"][0];
    assert_eq!(certificate["identity"], client.identity().to_string());
    assert_eq!(certificate["state"], "Available");
    let leaf = &certificate["certChain"][0];
    assert!(leaf["serialNumber"].as_str().unwrap().bytes().all(|digit| digit.is_ascii_digit()));
    assert!(leaf["expirationTime"].as_str().unwrap().ends_with('Z'), "{leaf}");
    assert!(!certificate["rootCerts"].as_array().unwrap().is_empty());
    let pod = &dump["workloadState"]["uid-client"];
    assert_eq!(pod["state"], "Up");
    assert_eq!(pod["info"]["serviceAccount"], "client");
    let connection = &pod["connections"]["outbound"][0];
    assert_eq!(connection["originalDst"], server.at(APP).to_string());
    assert_eq!(connection["actualDst"], server.at(15008).to_string());
    assert_eq!(connection["protocol"], "HBONE");
    assert_eq!(dump["config"]["ports"]["admin"], 15000);

    let far = world.dump(2).await?;
    let inbound = &far["workloadState"]["uid-server"]["connections"]["inbound"][0];
    assert_eq!(inbound["actualDst"], server.at(APP).to_string());
    drop(stream);
    eventually(|| async {
        let far = world.dump(2).await?;
        let left = far["workloadState"]["uid-server"]["connections"]["inbound"].as_array().unwrap().len();
        anyhow::ensure!(left == 0, "{left} left");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn ad_03_15_up_08_tel_15_the_servers_answer_what_they_are_asked() -> Result<()> {
    let Some(mut world) = World::start().await? else { return Ok(()) };
    let (status, body) = world.request(1, 15000, "POST", "/logging?level=debug").await?;
    assert_eq!(status, 200);
    assert!(body.starts_with("current log level is "), "{body}");
    assert_eq!(world.request(1, 15000, "POST", "/logging?level=loud").await?.0, 400);
    assert_eq!(world.request(1, 15000, "GET", "/logging").await?.0, 405);
    assert_eq!(world.get(1, 15000, "/").await?.0, 200);
    assert_eq!(world.get(1, 15000, "/nothing").await?.0, 404);
    assert_eq!(world.request(1, 15021, "POST", "/healthz/ready").await?.0, 405);
    let (status, profile) = world.get(1, 15000, "/debug/pprof/profile?seconds=0").await?;
    assert_eq!(status, 400, "AD-04: {profile}");
    let (status, reason) = world.get(1, 15000, "/debug/pprof/heap").await?;
    assert_eq!(status, 501, "{reason}");
    for path in ["/metrics", "/stats/prometheus"] {
        let (status, metrics) = world.get(1, 15020, path).await?;
        assert_eq!(status, 200);
        assert!(metrics.contains("istio_build{component=\"ztunnel\",tag="), "{metrics}");
        assert!(metrics.contains("process_open_fds "), "{metrics}");
    }
    assert_eq!(world.get(1, 15000, "/quitquitquit").await?.0, 405);
    let mut process = world.terminate_by_request(1).await?;
    let status = until(|| {
        let status = process.0.try_wait();
        async move { status.transpose() }
    });
    assert_eq!(status.await??.code(), Some(0));
    Ok(())
}
