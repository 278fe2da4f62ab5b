//! A controller over temporary directories, and proxies that keep what it sends.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use controller_translate::cluster::Settings;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mesh_identity::{ControlPlane, ControlPlaneSettings, RootSource, TokenSource};
use mesh_model::AddressResource;
use mesh_model::codec::address;
use mesh_proto::discovery::Node;
use mesh_proto::type_urls::ADDRESS;
use mesh_xds::{Client, ConnectError, Handler, RawResource, Rejected};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::admission::JwtSettings;
use crate::config::{DirectorySource, ObjectSource};
use crate::{Config, Controller, admin};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) const NAMESPACES: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: prod, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: way}}
";

pub(super) const MANIFESTS: &str = "
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: prod}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: prod, labels: {istio.io/use-waypoint: none}}
spec: {selector: {app: ratings}, ports: [{name: http, port: 9080}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, namespace: prod, labels: {istio.io/waypoint-for: service}}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: prod}
spec:
  hosts: [reviews]
  http:
  - route: [{destination: {host: reviews}}]
    timeout: 1s
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings, namespace: prod}
spec:
  hosts: [ratings]
  http:
  - route: [{destination: {host: ratings}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny-all, namespace: prod}
spec: {}
";

/// A pod as the runtime describes it.
pub(super) fn pod(namespace: &str, name: &str, account: &str, ip: &str, labels: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{namespace: {namespace}, name: {name}, uid: uid-{name}, labels: {{{labels}}}, annotations: {{ambient.istio.io/redirection: enabled}}}}
spec: {{nodeName: node-1, serviceAccountName: {account}, containers: [{{name: c, image: i, ports: [{{containerPort: 9080}}]}}]}}
status: {{phase: Running, podIP: {ip}, podIPs: [{{ip: {ip}}}], conditions: [{{type: Ready, status: 'True'}}]}}
"
    )
}

/// A controller over temporary directories.
pub(super) struct Running {
    pub(super) root: TempDir,
    pub(super) address: SocketAddr,
    pub(super) facts: admin::Facts,
    pub(super) token_key: EncodingKey,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

pub(super) fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(super) fn config(root: &Path) -> Config {
    Config {
        objects: ObjectSource::Directory(DirectorySource {
            manifests: vec![root.join("manifests")],
            runtime: vec![root.join("runtime")],
            status: Some(root.join("status")),
            token_key: root.join("issuer.pub.pem"),
            tokens: JwtSettings::default(),
        }),
        ca: root.join("ca"),
        xds_address: "127.0.0.1:0".parse().unwrap(),
        admin_address: "127.0.0.1:0".parse().unwrap(),
        command_address: "127.0.0.1:0".parse().unwrap(),
        server_names: vec![],
        node_accounts: vec!["istio-system/ztunnel".to_owned()],
        mesh: Settings::default(),
    }
}

impl Running {
    pub(super) async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        write(path, "manifests/namespaces.yaml", NAMESPACES);
        write(path, "manifests/mesh.yaml", MANIFESTS);
        let pods = [
            pod("prod", "reviews-1", "reviews", "10.0.0.1", "app: reviews"),
            pod("prod", "way-1", "way", "10.0.0.2", "gateway.networking.k8s.io/gateway-name: way"),
            pod("istio-system", "ztunnel-1", "ztunnel", "10.0.0.3", "app: ztunnel"),
        ];
        for (index, pod) in pods.iter().enumerate() {
            write(path, &format!("runtime/pods/{index}.yaml"), pod);
        }
        let addresses = [("reviews", "10.96.0.1"), ("ratings", "10.96.0.2")];
        for (name, ip) in addresses {
            let text = format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: prod}}\nspec: {{clusterIP: {ip}}}\n"
            );
            write(path, &format!("runtime/services/{name}.yaml"), &text);
        }
        let way = "apiVersion: v1
kind: Service
metadata: {name: way, namespace: prod, labels: {gateway.istio.io/managed: istio.io-mesh-controller, gateway.networking.k8s.io/gateway-name: way}}
spec: {clusterIP: 10.96.0.3, selector: {gateway.networking.k8s.io/gateway-name: way}, ports: [{name: mesh, port: 15008}]}
";
        write(path, "runtime/services/way.yaml", way);
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        write(path, "issuer.pub.pem", &pair.public_key_pem());
        let token_key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self::start_in(root, token_key, "127.0.0.1:0").await
    }

    pub(super) async fn start_in(root: TempDir, token_key: EncodingKey, address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (controller, facts) = Controller::new(config(root.path())).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(controller.run(listener, async { drop(stopped.await) }));
        Running { root, address, facts, token_key, stop: Some(stop), task }
    }

    /// Ends it, and starts it again at the same address.
    pub(super) async fn restart(mut self) -> Self {
        self.stop.take().unwrap().send(()).unwrap();
        let start = Instant::now();
        tokio::time::timeout(PATIENCE, &mut self.task).await.unwrap().unwrap().unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "streams ended by themselves: {:?}",
            start.elapsed()
        );
        Self::start_in(self.root, self.token_key, &self.address.to_string()).await
    }

    pub(super) fn token(&self, namespace: &str, account: &str, pod: &str) -> String {
        let claims = json!({
            "iss": "https://kubernetes.default.svc.cluster.local",
            "aud": ["istio-ca"],
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
            "exp": time::OffsetDateTime::now_utc().unix_timestamp() + 600,
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": { "name": account },
                "pod": { "name": pod, "uid": format!("uid-{pod}") },
            }
        });
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.token_key).unwrap()
    }

    pub(super) fn control_plane(&self, token: String) -> ControlPlane {
        ControlPlane::new(ControlPlaneSettings {
            address: format!("https://{}", self.address),
            root: RootSource::Path(self.root.path().join("ca/root-cert.pem")),
            token: TokenSource::Literal(token),
            cluster_id: "Kubernetes".to_owned(),
            verified_name: None,
            headers: vec![],
        })
        .unwrap()
    }

    pub(super) fn proxy(
        &self,
        kind: &str,
        namespace: &str,
        account: &str,
        pod: &str,
        types: &[&'static str],
    ) -> Proxy {
        let control_plane = self.control_plane(self.token(namespace, account, pod));
        let connect = move || {
            let channel = control_plane.channel().map_err(|error| ConnectError(error.into()));
            std::future::ready(channel)
        };
        let id = format!("{kind}~10.0.0.9~{pod}.{namespace}~{namespace}.svc.cluster.local");
        let (known, receiver) = watch::channel(Known::default());
        let handlers = types
            .iter()
            .map(|&type_url| -> Box<dyn Handler> { Box::new(Keeper { type_url, known: known.clone() }) });
        let client = Client::new(connect, Node { id, ..Default::default() }, handlers.collect());
        tokio::spawn(client.run(|| {}, std::future::pending()));
        Proxy { known: receiver }
    }
}

/// What a proxy was sent: the bytes by type and name, and how often it was sent any.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) resources: BTreeMap<(&'static str, String), Vec<u8>>,
    pub(super) received: usize,
}

pub(super) struct Keeper {
    type_url: &'static str,
    known: watch::Sender<Known>,
}

impl Handler for Keeper {
    fn type_url(&self) -> &'static str {
        self.type_url
    }

    fn apply(&mut self, upserts: Vec<RawResource>, removed: Vec<String>) -> Vec<Rejected> {
        self.known.send_modify(|known| {
            known.received += upserts.len() + removed.len();
            for name in removed {
                known.resources.remove(&(self.type_url, name));
            }
            for resource in upserts {
                known.resources.insert((self.type_url, resource.name), resource.bytes);
            }
        });
        Vec::new()
    }
}

pub(super) struct Proxy {
    known: watch::Receiver<Known>,
}

impl Proxy {
    pub(super) async fn sees(&self, what: &str, holds: impl Fn(&Known) -> bool) -> Known {
        let mut waiting = self.known.clone();
        match tokio::time::timeout(PATIENCE, waiting.wait_for(|known| holds(known))).await {
            Ok(known) => known.unwrap().clone(),
            Err(_) => panic!("not seen: {what}; but {:?}", self.known.borrow().resources.keys()),
        }
    }
}

impl Known {
    pub(super) fn names(&self, type_url: &str) -> Vec<&str> {
        let names = self.resources.keys().filter(|(of, _)| *of == type_url);
        names.map(|(_, name)| name.as_str()).collect()
    }

    pub(super) fn address(&self, name: &str) -> Option<AddressResource> {
        self.resources.get(&(ADDRESS, name.to_owned())).map(|bytes| address::from_bytes(bytes).unwrap())
    }
}
