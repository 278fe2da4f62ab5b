//! Somebody who makes tokens, with a key of any kind.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// What its tokens are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rs256,
    Rs512,
    Ps256,
    Ps384,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Kind {
    pub(crate) const ALL: [Kind; 8] = [
        Kind::Rs256,
        Kind::Rs512,
        Kind::Ps256,
        Kind::Ps384,
        Kind::Es256,
        Kind::Es384,
        Kind::Es512,
        Kind::EdDsa,
    ];

    fn algorithm(self) -> Option<Algorithm> {
        Some(match self {
            Kind::Rs256 => Algorithm::RS256,
            Kind::Rs512 => Algorithm::RS512,
            Kind::Ps256 => Algorithm::PS256,
            Kind::Ps384 => Algorithm::PS384,
            Kind::Es256 => Algorithm::ES256,
            Kind::Es384 => Algorithm::ES384,
            Kind::Es512 | Kind::EdDsa => return None,
        })
    }
}

/// The issuer `issuer-1`, or whoever it says it is.
pub(crate) struct Issuer {
    kind: Kind,
    signing: Signing,
}

enum Signing {
    Library(EncodingKey),
    P521(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Issuer {
    pub(crate) fn new(kind: Kind) -> Issuer {
        let ecdsa = |algorithm| EcdsaKeyPair::generate(algorithm).unwrap();
        let library = |pair: &EcdsaKeyPair| {
            Signing::Library(EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()))
        };
        let signing = match kind {
            Kind::Es256 => library(&ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)),
            Kind::Es384 => library(&ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)),
            Kind::Es512 => Signing::P521(ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING)),
            Kind::EdDsa => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
                Signing::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
            }
            Kind::Rs256 | Kind::Rs512 | Kind::Ps256 | Kind::Ps384 => Signing::Library(rsa()),
        };
        Issuer { kind, signing }
    }

    /// Its public keys.
    pub(crate) fn key_set(&self) -> String {
        json!({ "keys": [self.key("key-1")] }).to_string()
    }

    /// Its public key under a name.
    pub(crate) fn key(&self, name: &str) -> Value {
        let mut key = match &self.signing {
            Signing::Library(key) => {
                let algorithm = self.kind.algorithm().unwrap();
                serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap()
            }
            Signing::Ed25519(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
            }
            Signing::P521(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let text = |bytes| URL_SAFE_NO_PAD.encode(bytes);
                json!({ "kty": "EC", "crv": "P-521", "x": text(x), "y": text(y) })
            }
        };
        key["kid"] = name.into();
        key
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(claims, None)
    }

    /// Names the key that it is signed with.
    pub(crate) fn sign_as(&self, claims: &Value, key_id: Option<&str>) -> String {
        match &self.signing {
            Signing::Library(key) => {
                let mut header = Header::new(self.kind.algorithm().unwrap());
                header.kid = key_id.map(str::to_owned);
                jsonwebtoken::encode(&header, claims, key).unwrap()
            }
            Signing::P521(pair) => signed_by("ES512", claims, |message| {
                pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
            }),
            Signing::Ed25519(pair) => {
                signed_by("EdDSA", claims, |message| pair.sign(message).as_ref().to_vec())
            }
        }
    }
}

fn signed_by(algorithm: &str, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let unsigned = raw(&json!({ "alg": algorithm }), claims, b"");
    let message = unsigned.trim_end_matches('.');
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(sign(message.as_bytes())))
}

/// A token of these parts, signed or not.
pub(crate) fn raw(header: &Value, payload: &Value, signature: &[u8]) -> String {
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", text(header), text(payload), URL_SAFE_NO_PAD.encode(signature))
}

fn rsa() -> EncodingKey {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
}
