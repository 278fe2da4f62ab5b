//! What the fuzz targets reach of this crate: reviews of objects, and whom a certificate is asked for.

use mesh_model::Identity;
use mesh_proto::istio::ca::IstioCertificateRequest;

/// The answer to an AdmissionReview, or why it is none.
pub fn review(body: &[u8]) -> Result<Vec<u8>, String> {
    crate::webhook::review(body).map_err(|no_review| no_review.to_string())
}

/// The identity a request for a certificate names, if it names one.
pub fn asked_for(request: &IstioCertificateRequest) -> Result<Option<Identity>, String> {
    crate::ca::asked_for(request).map_err(|refusal| refusal.status.message().to_owned())
}
