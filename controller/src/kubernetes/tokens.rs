//! Tokens verified by whoever made them: the API server, by TokenReview.
//!
//! A positive answer is kept for at most 30 s, never past the token's own end, so that thousands of
//! proxies that reconnect at once cost one review each and not one for every call. A token that is
//! revoked meanwhile is believed for so long at most. That gives nothing away: the certificate it
//! could have asked for a second earlier lives for a day, and whether the token's pod still runs is
//! asked of the picture in every call (`Proven::find_pod`); the API server itself goes on accepting the
//! token of a deleted pod for some time (12 s were seen). Refusals and failures are not kept.

mod cache;
mod review;
mod statistics;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::FutureExt;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::admission::{Proven, TokenAuthenticator, TokenError};
use cache::{Cache, Found, Key};
use review::Claims;
pub use statistics::{Outcome, TokenStatistics};

/// Reviews at a time; the API server serves others too.
const MAX_REVIEWS: usize = 32;
/// Different tokens that may wait for a review.
const MAX_WAITING: usize = 1024;
const REVIEW_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer is good for.
const TRUSTED_FOR: Duration = Duration::from_secs(30);

/// Verifies tokens by asking the API server; clones share what they know.
#[derive(Clone)]
pub struct TokenReviewer {
    shared: Arc<Shared>,
}

struct Shared {
    reviews: Api<TokenReview>,
    audiences: Vec<String>,
    cache: Mutex<Cache>,
    places: Semaphore,
    statistics: Arc<TokenStatistics>,
}

impl TokenReviewer {
    /// Accepts tokens that are for one of these audiences.
    pub fn new(client: Client, audiences: Vec<String>) -> Self {
        TokenReviewer {
            shared: Arc::new(Shared {
                reviews: Api::all(client),
                audiences,
                cache: Mutex::default(),
                places: Semaphore::new(MAX_REVIEWS),
                statistics: Arc::default(),
            }),
        }
    }

    /// What has been verified and refused.
    pub fn statistics(&self) -> Arc<TokenStatistics> {
        self.shared.statistics.clone()
    }
}

#[tonic::async_trait]
impl TokenAuthenticator for TokenReviewer {
    async fn authenticate(&self, token: &str) -> Result<Proven, TokenError> {
        let result = self.shared.clone().authenticate(token).await;
        match result {
            Ok((proven, outcome)) => {
                self.shared.statistics.count(outcome);
                Ok(proven)
            }
            Err(refused) => {
                self.shared.statistics.count(refused.outcome);
                Err(match refused.outcome {
                    Outcome::Unavailable => TokenError::Unavailable(refused.message),
                    _ => TokenError::Invalid(refused.message),
                })
            }
        }
    }
}

/// Why a token was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    outcome: Outcome,
    message: String,
}

impl Shared {
    async fn authenticate(self: Arc<Self>, token: &str) -> Result<(Proven, Outcome), Refused> {
        let mut key = Key::default();
        // As long as each other, or else nobody gets in.
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let running = {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            match cache.find(&key, Instant::now()) {
                Some(Found::Proven(proven)) => return Ok((proven, Outcome::Cached)),
                Some(Found::Running(running)) => running,
                None => {
                    // Unsigned so far, so believed only where they speak against the token.
                    let claims = Claims::read(token)?;
                    claims.check(&self.audiences)?;
                    if cache.running() >= MAX_WAITING {
                        let message = "too many tokens are being verified; try again".to_owned();
                        return Err(Refused { outcome: Outcome::Unavailable, message });
                    }
                    // In a task of its own: whoever waits may go away, others wait for the same.
                    let task = tokio::spawn(self.clone().review(token.to_owned(), claims, key));
                    let running = task.map(|ended| {
                        ended.unwrap_or_else(|error| {
                            Err(Refused { outcome: Outcome::Unavailable, message: error.to_string() })
                        })
                    });
                    let running = running.boxed().shared();
                    cache.start(key, running.clone());
                    running
                }
            }
        };
        running.await.map(|proven| (proven, Outcome::Verified))
    }

    async fn review(self: Arc<Self>, token: String, claims: Claims, key: Key) -> Result<Proven, Refused> {
        let asked = Instant::now();
        let result = match tokio::time::timeout(REVIEW_TIMEOUT, self.ask(token)).await {
            Ok(Ok(status)) => review::judge(status, &claims, &self.audiences),
            Ok(Err(error)) => {
                let message = format!("the API server did not review it: {error}");
                Err(Refused { outcome: Outcome::Unavailable, message })
            }
            Err(_) => {
                let message = format!("the API server did not review it within {REVIEW_TIMEOUT:?}");
                Err(Refused { outcome: Outcome::Unavailable, message })
            }
        };
        let trusted = TRUSTED_FOR.min(claims.remaining());
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.finish(key, result.as_ref().ok().map(|proven| (proven.clone(), asked + trusted)));
        result
    }

    async fn ask(&self, token: String) -> kube::Result<TokenReviewStatus> {
        // The semaphore is never closed.
        let _place = self.places.acquire().await.ok();
        let spec = TokenReviewSpec { token: Some(token), audiences: Some(self.audiences.clone()) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = self.reviews.create(&PostParams::default(), &review).await?;
        // Without a status it says nothing, so it proves nothing.
        Ok(answer.status.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
