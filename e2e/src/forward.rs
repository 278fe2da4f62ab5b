//! A port of this machine that leads to a port of a pod, as `kubectl port-forward` makes one.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::Cluster;

/// Leads to the pod until it is dropped.
pub struct Forward {
    port: u16,
    accepting: JoinHandle<()>,
}

impl Forward {
    /// The port on localhost.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Cluster {
    /// Opens the way to a pod's port.
    pub async fn forward(&self, namespace: &str, pod: &str, port: u16) -> Result<Forward> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let own = listener.local_addr()?.port();
        let (api, pod) = (Api::<Pod>::namespaced(self.client(), namespace), pod.to_owned());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (api, pod) = (api.clone(), pod.clone());
                tokio::spawn(async move {
                    if let Err(error) = carry(&api, &pod, port, stream).await {
                        eprintln!("port {port} of {pod}: {error:#}");
                    }
                });
            }
        });
        Ok(Forward { port: own, accepting })
    }
}

async fn carry(api: &Api<Pod>, pod: &str, port: u16, mut near: TcpStream) -> Result<()> {
    let mut forwarder = api.portforward(pod, &[port]).await?;
    let mut far = forwarder.take_stream(port).context("no stream")?;
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
