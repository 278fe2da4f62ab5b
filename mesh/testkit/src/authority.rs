//! A certificate authority inside the test, with the faults a real one can have.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mesh_identity::authority::{Authority, RootKey};
use mesh_identity::key::KeyRequest;
use mesh_identity::{CaError, Certificate, CertificateAuthority, Profile, Store, StoreSettings};
use mesh_model::Identity;
use tonic::Status;

/// How the authority answers from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Refuse every request with this message.
    pub failure: Option<String>,
    /// Wait this long before each answer.
    pub delay: Duration,
    /// The lifetime of certificates.
    pub lifetime: Duration,
    /// Certify identities of this trust domain, whatever was asked for.
    pub foreign_trust_domain: Option<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour {
            failure: None,
            delay: Duration::ZERO,
            lifetime: Duration::from_hours(1),
            foreign_trust_domain: None,
        }
    }
}

/// The authority of one test.
pub struct FakeCa {
    authority: Authority,
    behaviour: Mutex<Behaviour>,
    calls: Mutex<Vec<Identity>>,
}

impl FakeCa {
    /// An authority with a root of its own.
    ///
    /// # Panics
    /// If this machine cannot make a key.
    #[expect(clippy::expect_used, reason = "a test without its authority is over")]
    pub fn new(trust_domain: &str) -> Arc<Self> {
        let authority = Authority::self_signed(trust_domain, Duration::from_hours(24), RootKey::Ecdsa)
            .expect("a self-signed root can be made");
        Arc::new(FakeCa { authority, behaviour: Mutex::default(), calls: Mutex::default() })
    }

    /// Changes how it answers.
    pub fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.behaviour));
    }

    /// Whom it was asked to certify so far, in order.
    pub fn calls(&self) -> Vec<Identity> {
        lock(&self.calls).clone()
    }

    /// Its root, PEM.
    pub fn root_pem(&self) -> &str {
        self.authority.root_pem()
    }

    /// The signing side, for instance for a server's certificate.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A certificate that is held already, without asking.
    ///
    /// # Panics
    /// If the identity cannot stand in a certificate.
    #[expect(clippy::expect_used, reason = "a test without its certificate is over")]
    pub fn certificate(&self, identity: &Identity) -> Arc<Certificate> {
        let request = KeyRequest::generate(identity).expect("a key can be made");
        let seconds = i64::try_from(lock(&self.behaviour).lifetime.as_secs()).unwrap_or(i64::MAX);
        let chain = self.authority.sign(request.csr_pem(), identity, seconds).expect("its own request");
        let certificate = Certificate::from_chain(identity, &chain, request, Profile::default());
        Arc::new(certificate.expect("its own certificate"))
    }

    /// A store that asks this authority; needs a tokio runtime.
    pub fn store(self: &Arc<Self>) -> Store {
        Store::new(Arc::clone(self) as Arc<dyn CertificateAuthority>, StoreSettings::default())
    }

    /// Answers one request as [`Behaviour`] says.
    pub async fn answer(&self, identity: &Identity, csr_pem: &str) -> Result<Vec<String>, Status> {
        lock(&self.calls).push(identity.clone());
        let Behaviour { failure, delay, lifetime, foreign_trust_domain } = lock(&self.behaviour).clone();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if let Some(message) = failure {
            return Err(Status::unavailable(message));
        }
        let mut certified = identity.clone();
        if let Some(trust_domain) = foreign_trust_domain {
            certified.trust_domain = trust_domain.into();
        }
        let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let signed = self.authority.sign(csr_pem, &certified, seconds);
        signed.map_err(|error| Status::invalid_argument(error.to_string()))
    }
}

impl CertificateAuthority for FakeCa {
    fn sign<'a>(
        &'a self,
        identity: &'a Identity,
        csr_pem: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, CaError>> {
        self.answer(identity, csr_pem).map(|answer| answer.map_err(CaError::Refused)).boxed()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use mesh_identity::IdentityError;

    use super::*;

    fn web() -> Identity {
        Identity::new("cluster.local", "default", "web")
    }

    #[tokio::test]
    async fn it_certifies_and_remembers() {
        let ca = FakeCa::new("cluster.local");
        assert_eq!(*ca.store().fetch(&web()).await.unwrap().identity(), web());
        assert_eq!(ca.calls(), [web()]);
        assert_eq!(*ca.certificate(&web()).identity(), web());
    }

    #[tokio::test(start_paused = true)]
    async fn its_faults_reach_who_asks() {
        let ca = FakeCa::new("cluster.local");
        ca.change(|behaviour| behaviour.failure = Some("switched off".to_owned()));
        let refused = ca.store().fetch(&web()).await.unwrap_err();
        assert!(
            matches!(&refused, IdentityError::Unavailable { reason, .. } if reason.contains("switched off"))
        );

        ca.change(|behaviour| {
            *behaviour = Behaviour { foreign_trust_domain: Some("other".to_owned()), ..Behaviour::default() };
        });
        let refused = ca.store().fetch(&web()).await.unwrap_err().to_string();
        assert!(refused.contains("for spiffe://other/ns/default/sa/web; asked for"), "{refused}");

        let delay = Duration::from_secs(3);
        ca.change(|behaviour| *behaviour = Behaviour { delay, ..Behaviour::default() });
        let begin = tokio::time::Instant::now();
        ca.store().fetch(&web()).await.unwrap();
        assert_eq!(begin.elapsed().as_secs(), 3);
    }
}
