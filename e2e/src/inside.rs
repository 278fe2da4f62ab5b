//! What a pod says on its own loopback only: the API server's proxy does not reach that, a forwarded port does.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Cluster;

impl Cluster {
    /// What answers a GET of a path on a port of a pod's loopback.
    pub async fn get_inside(&self, namespace: &str, pod: &str, port: u16, path: &str) -> Result<String> {
        let forward = self.forward(namespace, pod, port).await?;
        let mut stream = TcpStream::connect(("127.0.0.1", forward.port())).await?;
        let request = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no answer to {path}"))?;
        let status = head.split_ascii_whitespace().nth(1).unwrap_or_default();
        ensure!(status == "200", "{path} of {pod} is answered with {status}: {body}");
        Ok(body.to_owned())
    }
}
