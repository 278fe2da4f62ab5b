//! Identity made usable: keys, certificate requests, the CA's client and its
//! signing side, the store that fetches and rotates certificates, revocation lists,
//! and rustls configurations: those that verify SPIFFE identities, and those for backends
//! known by the names of hosts.

pub mod authority;
mod ca;
mod certificate;
mod control_plane;
pub mod key;
mod origination;
mod pem;
mod provider;
pub mod revocation;
pub mod store;
#[cfg(test)]
mod testing;
pub mod tls;

pub use ca::{CaClient, CaError, CertificateAuthority};
pub use certificate::{Certificate, CertificateSummary, InvalidCertificate};
pub use control_plane::{
    AuthorizedChannel, ControlPlane, ControlPlaneError, ControlPlaneSettings, Credentials, RootSource,
    TokenSource, explain,
};
pub use origination::{Origination, OriginationError, Secured};
pub use provider::{Profile, provider};
pub use revocation::{PeerCheck, RevocationFile, RevocationLists, Revocations};
pub use store::{IdentityError, Priority, State, Store, StoreSettings};
