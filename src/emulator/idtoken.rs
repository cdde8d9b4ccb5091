//! ID tokens and JWT access tokens, right and wrong (behaviours 5 to 9 and 18).
//!
//! A token is built right first; the mischief of the moment then spoils one thing of it, so that a test that
//! sees it refused knows what was refused. Called by `token`.

use std::io;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value, json};

use super::keys::{self, KeyRing};
use super::mischief::Mischief;
use super::people::{self, Person};
use super::settings::{App, Audience, IdTokenClaims};
use super::userinfo;
use crate::clock::Timestamp;

/// Another company's My Domain, which must not be believed.
pub const ELSEWHERE: &str = "https://elsewhere.my.salesforce.com";

/// What an ID token speaks of.
pub struct Facts<'a> {
    /// The base that the login went through, which is `iss`.
    pub issuer: &'a str,
    /// My Domain, for the addresses of the profile.
    pub instance: &'a str,
    /// `https://login.salesforce.com` or its sandbox twin (behaviour 6).
    pub identity_host: &'a str,
    /// Who signed in.
    pub person: &'a Person,
    /// What was granted.
    pub scopes: &'a [String],
    /// `nonce`, when one was sent (behaviour 8).
    pub nonce: Option<&'a str>,
    /// The access token beside it, for `at_hash`.
    pub access_token: &'a str,
    /// The app.
    pub app: &'a App,
    /// Now.
    pub now: Timestamp,
}

/// The ID token of the token response.
///
/// # Errors
/// When it cannot be signed.
pub fn id_token(facts: &Facts<'_>, ring: &KeyRing, mischief: Option<Mischief>) -> io::Result<String> {
    let mut claims = claims(facts, mischief);
    spoil(&mut claims, facts, mischief);
    let claims = Value::Object(claims);
    let signer = ring.signer(mischief);
    let mut header = json!({"kid": signer.kid(), "typ": "JWT", "alg": "RS256"});
    match mischief {
        Some(Mischief::AlgorithmNone) => {
            header["alg"] = json!("none");
            Ok(format!("{}.", keys::unsigned(&header, &claims)))
        }
        Some(Mischief::PublicKeyAsSecret) => {
            header["alg"] = json!("HS256");
            let secret = EncodingKey::from_secret(signer.public_bytes());
            keys::signed(&header, &claims, &secret, Algorithm::HS256)
        }
        Some(Mischief::ForeignKey) => ring.stranger().sign(&header, &claims),
        Some(Mischief::KeyInHeader) => {
            header["jwk"] = ring.stranger().entry();
            ring.stranger().sign(&header, &claims)
        }
        Some(Mischief::UnknownKeyId) => {
            header["kid"] = json!("298");
            ring.stranger().sign(&header, &claims)
        }
        Some(Mischief::MissingKeyId) => signer.sign(&json!({"typ": "JWT", "alg": "RS256"}), &claims),
        Some(Mischief::AccessTokenKey) => {
            header["kid"] = json!(ring.access().kid());
            ring.access().sign(&header, &claims)
        }
        Some(Mischief::AccessTokenAsIdToken) => access_token(facts, ring),
        Some(Mischief::CriticalHeader) => {
            header["crit"] = json!(["exp"]);
            signer.sign(&header, &claims)
        }
        Some(Mischief::BrokenSignature) => Ok(break_signature(&signer.sign(&header, &claims)?)),
        Some(Mischief::GarbledIdToken) => Ok("not.a.token".to_owned()),
        _ => signer.sign(&header, &claims),
    }
}

/// A JWT access token of the same issuer, signed by a key of the same key set (behaviour 18): everything that a
/// careless verifier asks of an ID token, and none.
///
/// # Errors
/// When it cannot be signed.
pub fn access_token(facts: &Facts<'_>, ring: &KeyRing) -> io::Result<String> {
    let key = ring.access();
    let header = json!({
        "tnk": format!("core/prod/{}", facts.person.organization),
        "ver": "1.0",
        "kid": key.kid(),
        "tty": "sfdc-core-token",
        "typ": "JWT",
        "alg": "RS256",
    });
    let now = facts.now.0;
    let claims = json!({
        "scp": facts.scopes.join(" "),
        "aud": [facts.instance],
        "sub": format!("uid:{}", facts.person.user),
        "nbf": now.saturating_sub(15),
        "mty": "oauth",
        "sfi": URL_SAFE_NO_PAD.encode(digest(&SHA256, facts.access_token.as_bytes())),
        "roles": [],
        "iss": facts.instance,
        "hsc": false,
        "exp": now + 1800,
        "iat": now,
        "client_id": facts.app.client_id,
    });
    key.sign(&header, &claims)
}

/// `at_hash` (OpenID Connect Core section 3.1.3.6): the left half of the access token's SHA-256.
pub fn at_hash(access_token: &str) -> String {
    let hash = digest(&SHA256, access_token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}

fn claims(facts: &Facts<'_>, mischief: Option<Mischief>) -> Map<String, Value> {
    let full = match mischief {
        Some(Mischief::StandardClaims) => IdTokenClaims::Standard,
        Some(Mischief::MinimalClaims) => IdTokenClaims::Minimal,
        _ => facts.app.id_token_claims,
    };
    // behaviour 5: without "Include Standard Claims" there is nothing but these
    let mut claims = match full {
        IdTokenClaims::Standard => userinfo::standard_claims(facts.person, facts.instance, facts.scopes),
        IdTokenClaims::Minimal => Map::new(),
    };
    claims.insert("at_hash".into(), json!(at_hash(facts.access_token)));
    // behaviour 6: the login host, even when the issuer is My Domain or a site
    claims.insert("sub".into(), json!(format!("{}{}", facts.identity_host, facts.person.identity_path())));
    claims.insert("aud".into(), audience(facts.app, mischief));
    claims.insert("iss".into(), json!(facts.issuer));
    claims.insert("exp".into(), json!(facts.now.after(facts.app.id_token_validity).0));
    claims.insert("iat".into(), json!(facts.now.0));
    if let Some(nonce) = facts.nonce {
        claims.insert("nonce".into(), json!(nonce));
    }
    claims
}

// behaviour 7
fn audience(app: &App, mischief: Option<Mischief>) -> Value {
    let extra = |more: &[String]| -> Vec<String> {
        std::iter::once(app.client_id.clone()).chain(more.iter().cloned()).collect()
    };
    let example = ["https://api.pretend.example".to_owned()];
    match (mischief, &app.audience) {
        (Some(Mischief::AudienceJoined), _) => json!(extra(&example).join(",")),
        (Some(Mischief::AudienceArray), _) => json!(extra(&example)),
        (_, Audience::Joined(more)) => json!(extra(more).join(",")),
        (_, Audience::Array(more)) => json!(extra(more)),
        (_, Audience::Alone) => json!(app.client_id),
    }
}

fn spoil(claims: &mut Map<String, Value>, facts: &Facts<'_>, mischief: Option<Mischief>) {
    let now = facts.now.0;
    let mut set = |name: &str, value: Value| {
        claims.insert(name.to_owned(), value);
    };
    match mischief {
        Some(Mischief::WrongNonce) => set("nonce", json!(at_hash("another nonce"))),
        Some(Mischief::StaleToken) => {
            set("iat", json!(now.saturating_sub(3600)));
            set("exp", json!(now.saturating_sub(3480)));
        }
        Some(Mischief::FutureToken) => {
            set("iat", json!(now + 3600));
            set("exp", json!(now + 3720));
        }
        Some(Mischief::WrongIssuer) => set("iss", json!(ELSEWHERE)),
        Some(Mischief::WrongAudience) => set("aud", json!("3MVG9another.App")),
        Some(Mischief::ForeignAudiences) => {
            let id = &facts.app.client_id;
            set("aud", json!(format!("3MVG9another.App,{id}x,https://{id}")));
        }
        Some(Mischief::WrongAccessTokenHash) => set("at_hash", json!(at_hash("another access token"))),
        Some(Mischief::WrongSubject) => {
            let path = colleague(facts.person).identity_path();
            set("sub", json!(format!("{}{path}", facts.identity_host)));
        }
        Some(Mischief::MalformedSubject) => {
            set("sub", json!(format!("{}/id/{}", facts.identity_host, facts.person.user)));
        }
        Some(Mischief::MissingNonce) => drop(claims.remove("nonce")),
        Some(Mischief::MissingExpiry) => drop(claims.remove("exp")),
        Some(Mischief::MissingAccessTokenHash) => drop(claims.remove("at_hash")),
        _ => {}
    }
}

/// Somebody else of the same org.
pub fn colleague(person: &Person) -> &'static Person {
    if person.user == people::ADMINISTRATOR.user { &people::STANDARD } else { &people::ADMINISTRATOR }
}

fn break_signature(token: &str) -> String {
    let Some((message, signature)) = token.rsplit_once('.') else { return String::new() };
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    if let Some(byte) = bytes.last_mut() {
        *byte ^= 1;
    }
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes))
}
