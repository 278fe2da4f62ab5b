//! Tests of `node`.

use std::net::SocketAddr;
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn pods_of_two_nodes_reach_each_other_by_their_own_addresses() -> Result<()> {
    let Some(net) = Testnet::new(2)? else { return Ok(()) };
    let (one, two) = (net.node(1).pod("one")?, net.node(2).pod("two")?);
    for (from, to) in [(one.address(), two.address()), (one.address_v6(), two.address_v6())] {
        let echo = Echo::with_greeting(two.netns(), SocketAddr::new(to, 8080), "hello, ")?;
        let mut stream = one.netns().connect(echo.address()).await?;
        stream.write_all(b"world").await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        assert_eq!(answer, "hello, world");
        assert_eq!(echo.callers()[0].ip(), from);
    }
    let echo = Echo::start(net.fabric(), "172.30.0.1:15012".parse()?)?;
    two.netns().connect(echo.address()).await?;
    net.node(1).netns().connect(echo.address()).await?;
    Ok(())
}

#[tokio::test]
async fn code_and_programs_run_inside_a_pod() -> Result<()> {
    let Some(net) = Testnet::new(1)? else { return Ok(()) };
    let pod = net.node(1).pod("client")?;
    let inode = pod.netns().namespace().inode();
    let seen = pod.netns().spawn(|| async { mesh_net::namespace::Namespace::current() });
    assert_eq!(seen.join().await??.inode(), inode);
    let link = pod.netns().output("readlink", &["/proc/self/ns/net"])?;
    assert_eq!(link.trim(), format!("net:[{inode}]"));
    assert!(pod.netns().output("false", &[]).is_err());

    let process = pod.netns().start(Command::new("sleep").arg("1000"))?;
    let alive = format!("/proc/{}/ns/net", process.0.id());
    assert_eq!(mesh_net::namespace::Namespace::open(&alive)?.inode(), inode);
    drop(process);
    assert!(!std::path::Path::new(&alive).exists());

    let panicked = pod.netns().spawn(|| async { panic!("on purpose") });
    assert!(panicked.join().await.is_err());
    Ok(())
}

#[test]
fn nothing_is_left_also_after_a_panic() -> Result<()> {
    let Some(net) = Testnet::new(1)? else { return Ok(()) };
    let pod = net.node(1).pod("p")?;
    let paths = [net.fabric().path(), net.node(1).netns().path(), pod.netns().path()];
    assert!(paths.iter().all(|path| path.exists()));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _kept = (net, pod);
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    assert!(!paths.iter().any(|path| path.exists()));
    Ok(())
}
