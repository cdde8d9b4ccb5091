//! The pretend org's keys: the published set, and the ones that sign what nobody should believe.
//!
//! Behaviour 4: three 4096-bit keys with numeric ids in no order, one release each (previous, current, next),
//! among 2048-bit `CORE_ATJWT` keys that sign access tokens only. Made by `Emulator::start`, or once for many
//! emulators of a test process; used by `idtoken` and `discovery`.

use std::io;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize as Bits};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{Engine, prelude::BASE64_STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::mischief::Mischief;
use super::people::HOME_ORGANIZATION;
use super::saml::SamlKeys;
use super::settings::KeySize;
use crate::clock::Timestamp;

/// One RSA key and what the key set says of it. It is kept as what signs: reading and checking an encoded one takes
/// four times as long as a signature.
#[derive(Clone)]
pub struct Key {
    kid: String,
    pair: Arc<KeyPair>,
    modulus: String,
    exponent: String,
}

impl Key {
    fn generate(kid: String, bits: Bits) -> io::Result<Self> {
        let pair = KeyPair::generate(bits).map_err(io::Error::other)?;
        let public = pair.public_key();
        let modulus = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
        let exponent = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
        Ok(Self { kid, pair: Arc::new(pair), modulus, exponent })
    }

    /// Its name in the key set.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its entry in the key set, its members as Salesforce has them (behaviour 4).
    pub fn entry(&self) -> Value {
        json!({"kty": "RSA", "n": self.modulus, "e": self.exponent, "alg": "RS256", "use": "sig", "kid": self.kid})
    }

    /// The public key as bytes that anybody can have: what a key confusion would take for an HMAC secret.
    pub fn public_bytes(&self) -> &[u8] {
        self.modulus.as_bytes()
    }

    /// A compact JWS of that header and those claims.
    ///
    /// # Errors
    /// When the signature cannot be made.
    pub fn sign(&self, header: &Value, claims: &Value) -> io::Result<String> {
        let message = unsigned(header, claims);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(io::Error::other)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// A compact JWS (RFC 7515) with whatever header is asked for, right or wrong.
///
/// # Errors
/// When the signature cannot be made.
pub fn signed(header: &Value, claims: &Value, key: &EncodingKey, algorithm: Algorithm) -> io::Result<String> {
    let message = unsigned(header, claims);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).map_err(io::Error::other)?;
    Ok(format!("{message}.{signature}"))
}

/// Header and claims of a JWS, without the signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// Every key of one pretend org.
pub struct KeyRing {
    previous: Key,
    current: Key,
    next: Key,
    after_next: Key,
    access: [Key; 2],
    stranger: Key,
    saml: SamlKeys,
}

impl KeyRing {
    /// A fresh ring; the keys are made in parallel threads.
    ///
    /// # Errors
    /// When a key cannot be made.
    pub fn generate(size: KeySize) -> io::Result<Arc<Self>> {
        let large = match size {
            KeySize::Real => Bits::Rsa4096,
            KeySize::Small => Bits::Rsa2048,
        };
        let org = HOME_ORGANIZATION.get(..15).unwrap_or_default();
        let access = |made: u64| format!("CORE_ATJWT.{org}.{made}");
        std::thread::scope(|scope| {
            let make = |kid: String, bits: Bits| scope.spawn(move || Key::generate(kid, bits));
            let saml = scope.spawn(|| SamlKeys::generate(Timestamp::now()));
            let threads = (
                make("260".to_owned(), large),
                make("262".to_owned(), large),
                make("264".to_owned(), large),
                make("266".to_owned(), large),
                make(access(1_779_580_800_000), Bits::Rsa2048),
                make(access(1_782_259_200_000), Bits::Rsa2048),
                make("262".to_owned(), Bits::Rsa2048),
            );
            Ok(Arc::new(Self {
                previous: finish(threads.0)?,
                current: finish(threads.1)?,
                next: finish(threads.2)?,
                after_next: finish(threads.3)?,
                access: [finish(threads.4)?, finish(threads.5)?],
                stranger: finish(threads.6)?,
                saml: finish(saml)?,
            }))
        })
    }

    /// The key that signs ID tokens at the moment.
    pub fn signer(&self, mischief: Option<Mischief>) -> &Key {
        match mischief {
            Some(Mischief::NextKeySigns) => &self.next,
            Some(Mischief::KeysRotated) => &self.after_next,
            _ => &self.current,
        }
    }

    /// The key that signs access tokens (behaviour 18).
    pub fn access(&self) -> &Key {
        &self.access[1]
    }

    /// The keys of the SAML identity provider, which are in no key set.
    pub fn saml(&self) -> &SamlKeys {
        &self.saml
    }

    /// A key that no key set has, though its `kid` is a published one.
    pub fn stranger(&self) -> &Key {
        &self.stranger
    }

    /// The key set: not sorted, both kinds together; after a rotation the next key is there and the oldest is
    /// gone (behaviour 4).
    pub fn published(&self, mischief: Option<Mischief>) -> Value {
        let [first, second] = &self.access;
        let keys: Vec<&Key> = match mischief {
            Some(Mischief::KeysEmpty) => Vec::new(),
            Some(Mischief::KeysRotated) => vec![&self.next, second, &self.current, first, &self.after_next],
            _ => vec![&self.current, first, &self.previous, &self.next, second],
        };
        json!({"keys": keys.into_iter().map(Key::entry).collect::<Vec<_>>()})
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyRing")
    }
}

fn finish<T>(thread: std::thread::ScopedJoinHandle<'_, io::Result<T>>) -> io::Result<T> {
    thread.join().map_err(|_| io::Error::other("making a key failed"))?
}

/// Standard base64 with padding, as codes and response signatures have it.
pub fn base64_standard(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_set_mixes_both_kinds_and_rotates() {
        let ring = KeyRing::generate(KeySize::Small).unwrap();
        let kids = |mischief| -> Vec<String> {
            let set = ring.published(mischief);
            set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
        };
        let before = kids(None);
        let numeric: Vec<_> = before.iter().filter(|kid| kid.parse::<u32>().is_ok()).collect();
        assert_eq!(numeric, ["262", "260", "264"]);
        assert_eq!(before.iter().filter(|kid| kid.starts_with("CORE_ATJWT.00D5g00000PrtCl.")).count(), 2);
        let after = kids(Some(Mischief::KeysRotated));
        assert!(after.contains(&"266".to_owned()) && !after.contains(&"260".to_owned()));
        assert!(kids(Some(Mischief::KeysEmpty)).is_empty());
    }

    #[test]
    fn a_published_key_verifies_what_the_signer_signed() {
        let ring = KeyRing::generate(KeySize::Small).unwrap();
        let token = ring.signer(None).sign(&json!({"alg": "RS256"}), &json!({"sub": "x"})).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let entry = ring.signer(None).entry();
        let (n, e) = (entry["n"].as_str().unwrap(), entry["e"].as_str().unwrap());
        let public = jsonwebtoken::DecodingKey::from_rsa_components(n, e).unwrap();
        let verify = |message: &str| {
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &public, Algorithm::RS256).unwrap()
        };
        assert!(verify(message));
        assert!(!verify("another"));
    }
}
