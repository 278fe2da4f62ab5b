//! The public keys of an issuer, and what they have signed: RS, PS and ES of 256 to 512 bits, and EdDSA. A shared
//! secret is never taken, nor a token that is not signed.

use std::str::FromStr;

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::jwt::{Jwt, JwtError};

/// As many keys as one issuer may have.
const MOST_KEYS: usize = 100;
/// Bytes of a coordinate on the curve P-521.
const P521_COORDINATE: usize = 66;

/// An issuer's keys.
#[derive(Debug, Default)]
pub(super) struct KeyRing {
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The only algorithm it may be used with, where it says so.
    algorithm: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa(DecodingKey),
    P256(DecodingKey),
    P384(DecodingKey),
    /// The point, uncompressed.
    P521(Vec<u8>),
    Ed25519(DecodingKey),
}

impl KeyRing {
    /// The keys of a set that can be used; others are left out.
    pub(super) fn read(set: &str) -> KeyRing {
        let set: Value = serde_json::from_str(set).unwrap_or_default();
        let keys = set.get("keys").and_then(Value::as_array).into_iter().flatten();
        KeyRing { keys: keys.filter_map(Key::read).take(MOST_KEYS).collect() }
    }

    /// Whether one of them has signed a token.
    pub(super) fn verify(&self, jwt: &Jwt<'_>) -> Result<(), JwtError> {
        if self.keys.is_empty() {
            return Err(JwtError::NoKeys);
        }
        let algorithm = Signature::of(&jwt.algorithm)?;
        let mut matching = self.keys.iter().filter(|key| key.is_for(jwt, algorithm)).peekable();
        if matching.peek().is_none() {
            return Err(JwtError::NoKeyMatches);
        }
        match matching.any(|key| key.has_signed(jwt, algorithm)) {
            true => Ok(()),
            false => Err(JwtError::VerificationFails),
        }
    }
}

/// The algorithms that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signature {
    Known(Algorithm),
    Es512,
}

impl Signature {
    fn of(name: &str) -> Result<Signature, JwtError> {
        if name == "ES512" {
            return Ok(Signature::Es512);
        }
        match Algorithm::from_str(name) {
            Ok(Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) | Err(_) => {
                Err(JwtError::UnknownAlgorithm)
            }
            Ok(public) => Ok(Signature::Known(public)),
        }
    }
}

impl Key {
    fn read(value: &Value) -> Option<Key> {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|it| *it != PublicKeyUse::Signature) {
            return None;
        }
        let material = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Material::Rsa(DecodingKey::from_jwk(&jwk).ok()?),
            AlgorithmParameters::EllipticCurve(point) => match point.curve {
                EllipticCurve::P256 => Material::P256(DecodingKey::from_jwk(&jwk).ok()?),
                EllipticCurve::P384 => Material::P384(DecodingKey::from_jwk(&jwk).ok()?),
                EllipticCurve::P521 => Material::P521(uncompressed(&point.x, &point.y)?),
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
                Material::Ed25519(DecodingKey::from_jwk(&jwk).ok()?)
            }
            // A secret would have to be kept by everybody who verifies.
            _ => return None,
        };
        let algorithm = value.get("alg").and_then(Value::as_str).map(str::to_owned);
        Some(Key { id: jwk.common.key_id, algorithm, material })
    }

    /// Whether it may be used for a token: by its name, if both have one, and by the algorithm.
    fn is_for(&self, jwt: &Jwt<'_>, algorithm: Signature) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let names = match (&self.id, &jwt.key_id) {
            (Some(own), Some(wanted)) => own == wanted,
            _ => true,
        };
        let fits = match (&self.material, algorithm) {
            (Material::Rsa(_), Signature::Known(it)) => {
                [RS256, RS384, RS512, PS256, PS384, PS512].contains(&it)
            }
            (Material::P256(_), Signature::Known(it)) => it == ES256,
            (Material::P384(_), Signature::Known(it)) => it == ES384,
            (Material::P521(_), it) => it == Signature::Es512,
            (Material::Ed25519(_), Signature::Known(it)) => it == EdDSA,
            _ => false,
        };
        names && fits && self.algorithm.as_ref().is_none_or(|only| *only == jwt.algorithm)
    }

    fn has_signed(&self, jwt: &Jwt<'_>, algorithm: Signature) -> bool {
        let message = jwt.signed.as_bytes();
        match (&self.material, algorithm) {
            (Material::P521(point), _) => {
                let key = UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point);
                let signature = URL_SAFE_NO_PAD.decode(jwt.signature);
                signature.is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            (
                Material::Rsa(key) | Material::P256(key) | Material::P384(key) | Material::Ed25519(key),
                Signature::Known(algorithm),
            ) => jsonwebtoken::crypto::verify(jwt.signature, message, key, algorithm).unwrap_or(false),
            (_, Signature::Es512) => false,
        }
    }
}

fn uncompressed(x: &str, y: &str) -> Option<Vec<u8>> {
    let mut point = vec![0x04];
    for coordinate in [x, y] {
        let bytes = URL_SAFE_NO_PAD.decode(coordinate).ok().filter(|it| it.len() == P521_COORDINATE)?;
        point.extend(bytes);
    }
    Some(point)
}
