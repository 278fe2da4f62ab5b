//! Certificates as ConfigMaps have them, and who is told when.

use std::collections::BTreeSet;

use controller_translate::{Kind, Settings};
use kube::core::ApiResource;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::*;
use crate::kubernetes::fake_api;
use crate::kubernetes::watch::Watch;
use crate::kubernetes::{Kubernetes, Seen};
use crate::tests::objects;

const POLICY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: p, namespace: prod}
spec:
  targetRefs: [{group: '', kind: Service, name: web}]
  validation: {hostname: web.example, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}
";

fn pem() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::new(vec!["api.example".into()]).unwrap().self_signed(&key).unwrap().pem()
}

/// An API server with the policy and the ConfigMap that it names, on which nothing changes.
fn api(pem: &str) -> Client {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "ca", "namespace": "prod", "resourceVersion": "1" }, "data": { "ca.crt": pem }
    });
    let policy: Value = serde_saphyr::from_str(POLICY).unwrap();
    fake_api::client(move |call| {
        let (map, policy) = (map.clone(), policy.clone());
        async move {
            if call.query.contains("watch=") {
                std::future::pending::<()>().await;
            }
            let list = |item: Value| json!({ "metadata": { "resourceVersion": "1" }, "items": [item] });
            match call.path.as_str() {
                "/apis/gateway.networking.k8s.io/v1/backendtlspolicies" => (200, list(policy)),
                "/api/v1/namespaces/prod/configmaps/ca" => (200, map),
                "/api/v1/namespaces/prod/configmaps" => (200, list(map)),
                _ => fake_api::failure(404, "not found"),
            }
        }
    })
}

fn said(data: &[(&str, &str)]) -> Certificates {
    let data = data.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
    certificates(&ConfigMap { data: Some(data.collect()), ..ConfigMap::default() })
}

#[test]
fn st_11_a_config_map_has_certificates_or_says_why_not() {
    let good = pem();
    assert_eq!(said(&[("ca.crt", &good)]), Ok(good.as_str().into()));
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    for (data, reason) in [
        (("tls.crt", good.as_str()), "has no key ca.crt"),
        (("ca.crt", ""), "has no certificate in PEM"),
        (("ca.crt", "certificate"), "has no certificate in PEM"),
        (("ca.crt", broken), "has something else than certificates"),
    ] {
        let said = said(&[data]).unwrap_err();
        assert!(said.contains(reason), "{data:?}: {said}");
    }
}

#[tokio::test]
async fn st_11_certificates_go_before_the_policy_that_needs_them() {
    let pem = pem();
    let (kubernetes, _) = Kubernetes::new(api(&pem), &Settings::default(), Seen::default(), Arc::default());
    let (events, mut sent) = mpsc::channel(8);
    let watch = Watch {
        shared: kubernetes.shared,
        kind: Kind::BackendTlsPolicy,
        resource: ApiResource {
            group: Kind::BackendTlsPolicy.group().to_owned(),
            version: "v1".to_owned(),
            api_version: Kind::BackendTlsPolicy.api_version(),
            kind: Kind::BackendTlsPolicy.as_str().to_owned(),
            plural: "backendtlspolicies".to_owned(),
        },
        events,
        listed: mpsc::unbounded_channel().0,
        known: BTreeSet::new(),
    };
    let (_stop, stopped) = oneshot::channel();
    let watching = tokio::spawn(watch.run(stopped));
    let first = sent.recv().await.unwrap();
    assert_eq!(first, Event::Certificates(Name::new("prod", "ca"), Ok(pem.as_str().into())));
    assert!(matches!(sent.recv().await.unwrap(), Event::Applied(_)));
    watching.abort();
}

#[tokio::test]
async fn st_11_config_maps_that_policies_name_are_read() {
    let pem = pem();
    let picture = Arc::new(Picture::new(Settings::default()));
    picture.apply(objects(POLICY));
    let (events, mut sent) = mpsc::channel(8);
    let keeping = tokio::spawn(keep(api(&pem), picture.clone(), events));
    let told = sent.recv().await.unwrap();
    assert_eq!(told, Event::Certificates(Name::new("prod", "ca"), Ok(pem.as_str().into())));
    keeping.abort();
}
