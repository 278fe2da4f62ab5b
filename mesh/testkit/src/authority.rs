//! A certificate authority inside the test, with the faults a real one can have.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mesh_identity::authority::{Authority, RootKey};
use mesh_identity::key::KeyRequest;
use mesh_identity::{CaError, Certificate, CertificateAuthority, Profile, Store, StoreSettings};
use mesh_model::Identity;
use rcgen::{CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber};
use tonic::Status;
use x509_parser::pem::parse_x509_pem;

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
    /// Whom it certified, with the certificates' serial numbers.
    signed: Mutex<Vec<(Identity, SerialNumber)>>,
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
        Arc::new(FakeCa {
            authority,
            behaviour: Mutex::default(),
            calls: Mutex::default(),
            signed: Mutex::default(),
        })
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
        self.note(identity, &chain);
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
        let chain = signed.map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.note(&certified, &chain);
        Ok(chain)
    }

    fn note(&self, identity: &Identity, chain: &[String]) {
        let leaf = chain.first().and_then(|leaf| parse_x509_pem(leaf.as_bytes()).ok());
        let parsed = leaf.as_ref().and_then(|(_, leaf)| leaf.parse_x509().ok());
        if let Some(parsed) = parsed {
            lock(&self.signed).push((identity.clone(), SerialNumber::from_slice(parsed.raw_serial())));
        }
    }

    /// A revocation list, PEM, that takes back whatever it has signed for these identities so far.
    ///
    /// # Panics
    /// If this machine cannot sign.
    #[expect(clippy::expect_used, reason = "a test without its list is over")]
    pub fn take_back(&self, identities: &[&Identity]) -> String {
        let now = SystemTime::now();
        let revoked = lock(&self.signed)
            .iter()
            .filter(|(identity, _)| identities.contains(&identity))
            .map(|(_, serial)| RevokedCertParams {
                serial_number: serial.clone(),
                revocation_time: now.into(),
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        let list = CertificateRevocationListParams {
            this_update: now.into(),
            next_update: (now + Duration::from_hours(1)).into(),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let key = KeyPair::from_pem(&self.authority.key_pem()).expect("its own key");
        let issuer = Issuer::from_ca_cert_pem(self.authority.certificate_pem(), key).expect("its own root");
        list.signed_by(&issuer).and_then(|list| list.pem()).expect("a list can be signed")
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

    #[test]
    fn it_takes_back_what_it_signed() {
        let (ca, db) = (FakeCa::new("cluster.local"), Identity::new("cluster.local", "default", "db"));
        ca.certificate(&web());
        ca.certificate(&web());
        for (identities, count) in [(&[&web()][..], 2), (&[&db], 0)] {
            let list = parse_x509_pem(ca.take_back(identities).as_bytes()).unwrap().1;
            let (_, list) = x509_parser::parse_x509_crl(&list.contents).unwrap();
            assert_eq!(list.iter_revoked_certificates().count(), count);
        }
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
