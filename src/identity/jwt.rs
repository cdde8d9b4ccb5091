//! ID tokens, verified by allow-list (OpenID Connect Core section 3.1.3.7, RFC 8725).
//!
//! Every statement that a sign-in relies on is compared with what we expect, type included; the token decides
//! nothing about how it is judged: not the algorithm, not the key beyond its id. jsonwebtoken verifies the
//! signature; the claims are judged here, because Salesforce writes `aud` in three forms and because time is
//! an argument. Called by `oidc`.

pub mod keys;

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::trouble::{Trouble, clean};
use super::{OrgId, ProviderReason, UserId, salesforce};
use crate::clock::Timestamp;
use crate::secret::same;
use keys::Key;

/// The longest token that is looked at; Salesforce's have about 1 KiB.
const MAX_LENGTH: usize = 64 * 1024;
/// How old a token may be (`iat`), whatever its `exp`: it comes straight from the token endpoint.
const MAX_AGE: Duration = Duration::from_secs(600);
/// The end of the year 9999: times beyond are no times.
const END_OF_TIME: f64 = 253_402_300_799.0;

/// What a token must say to answer *this* login attempt.
pub struct Expected<'a> {
    /// The one issuer.
    pub issuer: &'a str,
    /// Us.
    pub client_id: &'a str,
    /// The attempt's nonce.
    pub nonce: &'a str,
    /// The access token that came along; `at_hash` must be of it.
    pub access_token: Option<&'a str>,
    /// How far the clocks may differ.
    pub clock_skew: Duration,
    /// The time.
    pub now: Timestamp,
}

/// Who a verified token speaks of, and all that it says.
#[derive(Debug)]
pub struct Claims {
    /// The organization of `sub`.
    pub organization: OrgId,
    /// The user of `sub`.
    pub user: UserId,
    /// The whole payload.
    pub all: Map<String, Value>,
}

/// A token whose header is acceptable, and about which nothing else is known yet.
pub struct Envelope<'a> {
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
    key_id: String,
}

impl<'a> Envelope<'a> {
    /// Takes a compact JWS apart (RFC 7515 section 3.1) and judges its header.
    pub(in crate::identity) fn open(token: &'a str) -> Result<Self, Trouble> {
        let malformed = |why: &str| Trouble::misbehaved(ProviderReason::Malformed, why);
        if token.len() > MAX_LENGTH {
            return Err(malformed("the ID token is too long"));
        }
        let not_three = || malformed("the ID token has not three parts");
        let (message, signature) = token.rsplit_once('.').ok_or_else(not_three)?;
        let (header, payload) = message.split_once('.').ok_or_else(not_three)?;
        if payload.contains('.') {
            return Err(not_three());
        }
        let header = read_object(header).ok_or_else(|| malformed("the ID token's header is no JSON object"))?;
        let key_id = judge_header(&header)?;
        Ok(Self { message, payload, signature, key_id })
    }

    /// The id of the key that must have signed it.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Verifies the signature with `key`, then every claim against `expected`.
    pub(in crate::identity) fn verify(self, key: &Key, expected: &Expected<'_>) -> Result<Claims, Trouble> {
        let algorithm = jsonwebtoken::Algorithm::RS256;
        let genuine = key.id() == self.key_id
            && jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), key.decoding(), algorithm)
                .is_ok_and(|genuine| genuine);
        if !genuine {
            return Err(Trouble::misbehaved(ProviderReason::Signature, "the ID token's signature does not verify"));
        }
        let all = read_object(self.payload).ok_or_else(|| {
            Trouble::misbehaved(ProviderReason::Malformed, "the ID token's payload is no JSON object")
        })?;
        judge_issuer(&all, expected.issuer)?;
        judge_audience(&all, expected.client_id)?;
        judge_nonce(&all, expected.nonce)?;
        if let Some(access_token) = expected.access_token {
            judge_access_token_hash(&all, access_token)?;
        }
        judge_times(&all, expected.now, expected.clock_skew)?;
        let subject = all.get("sub").and_then(Value::as_str).unwrap_or_default();
        let (organization, user) = salesforce::read_subject(subject).ok_or_else(|| {
            Trouble::misbehaved(
                ProviderReason::Subject,
                format!("`sub` is no Salesforce identity address: {}", clean(subject)),
            )
        })?;
        Ok(Claims { organization, user, all })
    }
}

fn read_object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The header may choose a key by its id, and nothing else.
fn judge_header(header: &Map<String, Value>) -> Result<String, Trouble> {
    let refuse = |reason, why: &str| Err(Trouble::misbehaved(reason, why));
    if header.get("alg").and_then(Value::as_str) != Some("RS256") {
        return refuse(ProviderReason::Algorithm, "the ID token is not signed with RS256");
    }
    // RFC 7515 section 4.1.11: whoever does not understand all of `crit` MUST refuse. We understand none.
    if header.contains_key("crit") {
        return refuse(ProviderReason::Algorithm, "the ID token's header has `crit`");
    }
    // Salesforce marks its JWT access tokens so (salesforce.md 2.8).
    if header.contains_key("tty") {
        return refuse(ProviderReason::Malformed, "the token's header has `tty`: it is an access token");
    }
    if let Some(kind) = header.get("typ") {
        let jwt = kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("JWT"));
        if !jwt {
            return refuse(ProviderReason::Malformed, "the ID token's `typ` is not JWT");
        }
    }
    match header.get("kid").and_then(Value::as_str) {
        Some(key_id) if keys::is_for_id_tokens(key_id) => Ok(key_id.to_owned()),
        Some(key_id) => refuse(
            ProviderReason::UnknownKey,
            &format!("the key {} does not sign ID tokens: its id is no number", clean(key_id)),
        ),
        None => refuse(ProviderReason::UnknownKey, "the ID token names no key"),
    }
}

fn judge_issuer(claims: &Map<String, Value>, issuer: &str) -> Result<(), Trouble> {
    let said = claims.get("iss").and_then(Value::as_str);
    if said == Some(issuer) {
        return Ok(());
    }
    let said = clean(said.unwrap_or("nothing"));
    Err(Trouble::misbehaved(ProviderReason::Issuer, format!("`iss` is {said}, not {issuer}")))
}

/// Salesforce's three forms (salesforce.md 3.1): our id as a string; an array with it; one string of several
/// audiences joined by commas, of which whole elements are compared.
fn judge_audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), Trouble> {
    let ours = match claims.get("aud") {
        Some(Value::String(one)) => one == client_id || one.split(',').any(|element| element == client_id),
        Some(Value::Array(several)) => {
            several.iter().all(Value::is_string) && several.iter().any(|element| element == client_id)
        }
        _ => false,
    };
    if !ours || client_id.is_empty() {
        return Err(Trouble::misbehaved(ProviderReason::Audience, "`aud` does not name our client_id"));
    }
    // OpenID Connect Core section 3.1.3.7: `azp`, when there is one, is whom the token was issued to.
    match claims.get("azp") {
        Some(party) if party != client_id => {
            Err(Trouble::misbehaved(ProviderReason::Audience, "`azp` is not our client_id"))
        }
        _ => Ok(()),
    }
}

fn judge_nonce(claims: &Map<String, Value>, nonce: &str) -> Result<(), Trouble> {
    let said = claims.get("nonce").and_then(Value::as_str).unwrap_or_default();
    if !nonce.is_empty() && same(said.as_bytes(), nonce.as_bytes()) {
        return Ok(());
    }
    let why = if claims.contains_key("nonce") { "`nonce` is another attempt's" } else { "there is no `nonce`" };
    Err(Trouble::misbehaved(ProviderReason::Nonce, why))
}

/// OpenID Connect Core section 3.1.3.6: the left half of the hash of the access token.
fn judge_access_token_hash(claims: &Map<String, Value>, access_token: &str) -> Result<(), Trouble> {
    let hash = digest(&SHA256, access_token.as_bytes());
    let (half, _) = hash.as_ref().split_at(16);
    let said = claims.get("at_hash").and_then(Value::as_str).unwrap_or_default();
    if same(said.as_bytes(), URL_SAFE_NO_PAD.encode(half).as_bytes()) {
        return Ok(());
    }
    let why = if claims.contains_key("at_hash") { "`at_hash` is of another token" } else { "there is no `at_hash`" };
    Err(Trouble::misbehaved(ProviderReason::AccessTokenHash, why))
}

/// RFC 7519 section 2: a time is a number of seconds, which may have a fraction.
fn judge_times(claims: &Map<String, Value>, now: Timestamp, skew: Duration) -> Result<(), Trouble> {
    let refuse = |why: &str| Err(Trouble::misbehaved(ProviderReason::Times, why));
    let read = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) if (0.0..=END_OF_TIME).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(Trouble::misbehaved(ProviderReason::Times, format!("`{name}` is no time"))),
        },
    };
    let (Some(expires), Some(issued)) = (read("exp")?, read("iat")?) else {
        return refuse("`exp` or `iat` is missing");
    };
    let earliest = now.0.saturating_sub(skew.as_secs()) as f64;
    let latest = now.after(skew).0 as f64;
    if expires <= earliest {
        return refuse("the ID token has expired");
    }
    if issued > latest {
        return refuse("the ID token was issued in the future; do the clocks differ?");
    }
    if issued < earliest - MAX_AGE.as_secs_f64() {
        return refuse("the ID token was issued long ago; do the clocks differ?");
    }
    if expires <= issued {
        return refuse("the ID token expired before it was issued");
    }
    match read("nbf")? {
        Some(begins) if begins > latest => refuse("the ID token is not valid yet; do the clocks differ?"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
