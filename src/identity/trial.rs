//! Keys and tokens for the unit tests of this family, made when the tests run.
//!
//! Tokens are put together here piece by piece, not by a library, because most tests want a wrong one.
//! Called by the tests of `jwt` and `oidc`.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::{OrgId, UserId};
use crate::clock::Timestamp;

/// The time of all these tests.
pub(in crate::identity) const NOW: Timestamp = Timestamp(1_790_000_000);
pub(in crate::identity) const CLIENT_ID: &str = "3MVG9portcullis";
pub(in crate::identity) const ACCESS_TOKEN: &str = "00D5g00000ABCDE!AQ.opaque";

/// A private key and what is published of it.
pub(in crate::identity) struct Signer {
    pub(in crate::identity) key: EncodingKey,
    pub(in crate::identity) pem: String,
}

/// The org's key.
pub(in crate::identity) static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::generate);
/// Somebody else's key.
pub(in crate::identity) static FORGER: LazyLock<Signer> = LazyLock::new(Signer::generate);

impl Signer {
    fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
        Self { key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), pem }
    }

    /// The public half as a key for ID tokens.
    pub(in crate::identity) fn jwk(&self, id: &str) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, Algorithm::RS256).unwrap()).unwrap();
        jwk["kid"] = json!(id);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!("RS256");
        jwk
    }

    /// A token of exactly this header and payload.
    pub(in crate::identity) fn sign(&self, header: &Value, payload: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(payload));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, Algorithm::RS256).unwrap();
        format!("{message}.{signature}")
    }
}

/// The person of these tests.
pub(in crate::identity) fn person() -> (OrgId, UserId) {
    (OrgId::parse("00D5g00000ABCDE").unwrap(), UserId::parse("0055g00000AbCdE").unwrap())
}

/// The person's `sub`.
pub(in crate::identity) fn subject() -> String {
    let (org, user) = person();
    format!("https://login.salesforce.com/id/{org}/{user}")
}

/// The header of a good token.
pub(in crate::identity) fn header() -> Value {
    json!({"kid": "262", "typ": "JWT", "alg": "RS256"})
}

/// The payload of a good token, in Salesforce's minimal form.
pub(in crate::identity) fn payload(issuer: &str, nonce: &str) -> Value {
    json!({"at_hash": at_hash(ACCESS_TOKEN), "sub": subject(), "aud": CLIENT_ID, "iss": issuer,
        "exp": NOW.0 + 120, "iat": NOW.0, "nonce": nonce})
}

/// The `at_hash` of an access token.
pub(in crate::identity) fn at_hash(access_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(&digest(&SHA256, access_token.as_bytes()).as_ref()[..16])
}
