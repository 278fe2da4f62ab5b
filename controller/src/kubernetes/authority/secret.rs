//! A root of our own in a Secret, made once whatever number of replicas start together: whoever
//! creates the Secret first has made it, the others read it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Error};
use mesh_identity::authority::{Authority, RootKey};
use tracing::{info, warn};

use crate::ca::plugged::{CERTIFICATE, CHAIN, Files, KEY, ROOT};
use crate::ca::{CurrentAuthority, LIFETIME};

/// As Istio names it, whose installations keep their root when they change over.
const NAME: &str = "istio-ca-secret";
const TYPE: &str = "istio.io/ca-root";
/// Between two tries to reach the API server at the start.
const PAUSE: Duration = Duration::from_secs(2);
const CONFLICT: u16 = 409;

pub(super) struct CaSecret {
    api: Api<Secret>,
    files: Files,
}

impl CaSecret {
    pub(super) async fn open(
        client: Client,
        namespace: &str,
        trust_domain: &str,
    ) -> anyhow::Result<(Self, Authority)> {
        let api = Api::namespaced(client, namespace);
        loop {
            match find_or_make(&api, trust_domain).await {
                Ok(Some(secret)) => {
                    let files = read(&secret)?;
                    let authority = files.authority().with_context(|| {
                        format!(
                            "in Secret {namespace}/{NAME}; repair it, or delete it to have a new one made"
                        )
                    })?;
                    return Ok((CaSecret { api, files }, authority));
                }
                // Somebody else was faster, or deleted it just now.
                Ok(None) => {}
                Err(Failure::Own(error)) => return Err(error),
                Err(Failure::Server(error)) => {
                    warn!("cannot get Secret {namespace}/{NAME}, trying again in {PAUSE:?}: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes over what is in the Secret now. The leader puts it back when it is gone, and renews the
    /// root at the end of its life. Looking is cheap, so it is done whenever the Secret is read.
    pub(super) async fn follow(&mut self, current: &CurrentAuthority, is_leader: bool) -> anyhow::Result<()> {
        let Some(secret) =
            self.api.get_opt(NAME).await.with_context(|| format!("cannot get Secret {NAME}"))?
        else {
            return self.put_back(&current.get(), is_leader).await;
        };
        let files = read(&secret)?;
        if files != self.files {
            current.replace(files.authority().with_context(|| format!("in Secret {NAME}"))?);
            self.files = files;
            info!("using the new certificate authority in Secret {NAME}");
        }
        let authority = current.get();
        if is_leader && authority.is_root() && authority.is_due(SystemTime::now()) {
            self.renew(secret, &authority, current).await?;
        }
        Ok(())
    }

    async fn renew(
        &mut self,
        secret: Secret,
        old: &Authority,
        current: &CurrentAuthority,
    ) -> anyhow::Result<()> {
        let renewed = old.renewed(LIFETIME)?;
        // The version that was read goes along: a change by anybody else in between wins.
        let changed = Secret { data: Some(data(&renewed)), ..secret };
        match self.api.replace(NAME, &PostParams::default(), &changed).await {
            Ok(stored) => {
                self.files = read(&stored)?;
                current.replace(renewed);
                info!("renewed the root certificate; the old one stays trusted until it expires");
                Ok(())
            }
            Err(Error::Api(status)) if status.code == CONFLICT => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot renew the root in Secret {NAME}")),
        }
    }

    async fn put_back(&self, authority: &Authority, is_leader: bool) -> anyhow::Result<()> {
        if !is_leader {
            bail!("Secret {NAME} is gone; the leader puts it back");
        }
        create(&self.api, authority).await.with_context(|| format!("cannot put back Secret {NAME}"))?;
        warn!("Secret {NAME} was gone and has been put back with the same root");
        Ok(())
    }
}

enum Failure {
    Own(anyhow::Error),
    Server(Error),
}

async fn find_or_make(api: &Api<Secret>, trust_domain: &str) -> Result<Option<Secret>, Failure> {
    if let Some(secret) = api.get_opt(NAME).await.map_err(Failure::Server)? {
        return Ok(Some(secret));
    }
    let made = Authority::self_signed(trust_domain, LIFETIME, RootKey::Ecdsa);
    let made = made.map_err(|error| Failure::Own(error.into()))?;
    let created = create(api, &made).await.map_err(Failure::Server)?;
    if created.is_some() {
        info!("made a new certificate authority in Secret {NAME}");
    }
    Ok(created)
}

/// `None` if there is one already.
async fn create(api: &Api<Secret>, authority: &Authority) -> Result<Option<Secret>, Error> {
    let secret = Secret {
        metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
        type_: Some(TYPE.to_owned()),
        data: Some(data(authority)),
        ..Secret::default()
    };
    match api.create(&PostParams::default(), &secret).await {
        Ok(created) => Ok(Some(created)),
        Err(Error::Api(status)) if status.code == CONFLICT => Ok(None),
        Err(error) => Err(error),
    }
}

fn data(authority: &Authority) -> BTreeMap<String, ByteString> {
    let texts = [
        (CERTIFICATE, authority.certificate_pem().to_owned()),
        (KEY, authority.key_pem()),
        (CHAIN, String::new()),
        (ROOT, authority.root_pem().to_owned()),
    ];
    texts.map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).into()
}

fn read(secret: &Secret) -> anyhow::Result<Files> {
    let text = |name: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(name)).map(|bytes| bytes.0.clone());
        let text = bytes.filter(|bytes| !bytes.is_empty()).map(String::from_utf8).transpose();
        text.with_context(|| format!("{name} in Secret {NAME} is not text"))
    };
    let needed = |name: &str| {
        text(name)?.with_context(|| {
            format!("Secret {NAME} has no {name}; add it, or delete the Secret to have a new one made")
        })
    };
    let certificate = needed(CERTIFICATE)?;
    // Old releases of Istio left it out: the signer is the root.
    let root = text(ROOT)?.unwrap_or_else(|| certificate.clone());
    let chain = text(CHAIN)?.unwrap_or_default();
    // A root of our own revokes nothing.
    Ok(Files { key: needed(KEY)?, chain, certificate, root, revocation_lists: None })
}
