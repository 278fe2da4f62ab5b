//! Running one `nft` transaction inside a namespace.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use mesh_net::namespace::Namespace;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(5);
/// More of a complaint helps nobody.
const LONGEST_COMPLAINT: usize = 500;

pub(crate) async fn run(namespace: &Namespace, transaction: &str) -> io::Result<()> {
    let mut child = namespace
        .run(|| {
            Command::new("nft")
                .args(["-f", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
        })
        .map_err(|error| {
            io::Error::new(error.kind(), format!("nft: {error}; install the package nftables"))
        })?;
    let feed = child.stdin.take();
    let finished = async {
        if let Some(mut feed) = feed {
            feed.write_all(transaction.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = timeout(DEADLINE, finished).await.map_err(|_| late())??;
    if output.status.success() {
        return Ok(());
    }
    let complaint: String =
        String::from_utf8_lossy(&output.stderr).trim().chars().take(LONGEST_COMPLAINT).collect();
    Err(io::Error::other(format!("nft: {}: {complaint}", output.status)))
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "nft: no answer in 5 s; it has been killed")
}
