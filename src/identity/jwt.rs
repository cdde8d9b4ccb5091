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
mod tests {
    use super::keys::KeySet;
    use super::*;
    use crate::identity::trial::{
        ACCESS_TOKEN, CLIENT_ID, FORGER, NOW, SIGNER, Signer, at_hash, header, payload, person,
    };
    use proptest::prelude::*;
    use serde_json::json;

    const ISSUER: &str = "https://acme.my.salesforce.com";
    const NONCE: &str = "a-nonce-of-this-attempt";
    const SKEW: Duration = Duration::from_secs(60);

    fn expected() -> Expected<'static> {
        Expected {
            issuer: ISSUER,
            client_id: CLIENT_ID,
            nonce: NONCE,
            access_token: Some(ACCESS_TOKEN),
            clock_skew: SKEW,
            now: NOW,
        }
    }

    fn verify(token: &str, expected: &Expected<'_>) -> Result<Claims, Trouble> {
        let envelope = Envelope::open(token)?;
        let set = KeySet::read(&json!({"keys": [SIGNER.jwk("260"), SIGNER.jwk("262")]})).unwrap();
        let key = set.find(envelope.key_id()).expect("a published key");
        envelope.verify(key, expected)
    }

    fn reason(outcome: Result<Claims, Trouble>) -> ProviderReason {
        match outcome {
            Err(Trouble::Misbehaved { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn token(signer: &Signer, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let (mut header, mut payload) = (header(), payload(ISSUER, NONCE));
        change(&mut header, &mut payload);
        signer.sign(&header, &payload)
    }

    fn with_claims(change: impl FnOnce(&mut Value)) -> Result<Claims, Trouble> {
        verify(&token(&SIGNER, |_, payload| change(payload)), &expected())
    }

    fn with_header(change: impl FnOnce(&mut Value)) -> Result<Claims, Trouble> {
        verify(&token(&SIGNER, |header, _| change(header)), &expected())
    }

    fn without(claims: &mut Value, name: &str) {
        claims.as_object_mut().unwrap().remove(name);
    }

    #[test]
    fn a_good_token_names_its_person() {
        let claims = with_claims(|claims| claims["name"] = json!("Ada")).unwrap();
        assert_eq!((claims.organization, claims.user), person());
        assert_eq!(claims.all["name"], "Ada");
        with_header(|header| without(header, "typ")).unwrap();
        with_header(|header| header["typ"] = json!("jwt")).unwrap();
    }

    #[test]
    fn what_is_no_jwt_is_malformed() {
        let good = token(&SIGNER, |_, _| ());
        let huge = format!("{good}{}", "a".repeat(MAX_LENGTH));
        for text in ["", ".", "..", "a.b.c", "a.b", "a.b.c.d", &format!("{good}."), &format!("{good}.x"), &huge] {
            assert_eq!(reason(verify(text, &expected())), ProviderReason::Malformed, "{text}");
        }
        let list = SIGNER.sign(&json!(["RS256"]), &payload(ISSUER, NONCE));
        assert_eq!(reason(verify(&list, &expected())), ProviderReason::Malformed);
        let list = SIGNER.sign(&header(), &json!(["a list"]));
        assert_eq!(reason(verify(&list, &expected())), ProviderReason::Malformed);
    }

    #[test]
    fn an_access_token_is_no_id_token() {
        let outcome = with_header(|header| header["tty"] = json!("sfdc-core-token"));
        assert_eq!(reason(outcome), ProviderReason::Malformed);
        let outcome = with_header(|header| header["kid"] = json!("CORE_ATJWT.00D5g00000ABCDE.1753488000000"));
        assert_eq!(reason(outcome), ProviderReason::UnknownKey);
        for kind in [json!("at+jwt"), json!("JWS"), json!(null), json!(7)] {
            assert_eq!(reason(with_header(|header| header["typ"] = kind)), ProviderReason::Malformed);
        }
    }

    #[test]
    fn only_rs256_signs() {
        for algorithm in ["none", "None", "HS256", "RS384", "RS512", "PS256", "ES256", "EdDSA", "rs256", ""] {
            let outcome = with_header(|header| header["alg"] = json!(algorithm));
            assert_eq!(reason(outcome), ProviderReason::Algorithm, "{algorithm}");
        }
        assert_eq!(reason(with_header(|header| without(header, "alg"))), ProviderReason::Algorithm);
        assert_eq!(reason(with_header(|header| header["alg"] = json!(["RS256"]))), ProviderReason::Algorithm);
    }

    #[test]
    fn a_critical_extension_is_not_understood() {
        for critical in [json!(["b64"]), json!([]), json!(null)] {
            assert_eq!(reason(with_header(|header| header["crit"] = critical)), ProviderReason::Algorithm);
        }
    }

    #[test]
    fn only_a_numbered_key_signs() {
        for id in [json!("asset"), json!(""), json!("26a"), json!("-1"), json!(262), json!(null), json!("2".repeat(21))]
        {
            assert_eq!(reason(with_header(|header| header["kid"] = id.clone())), ProviderReason::UnknownKey, "{id}");
        }
        assert_eq!(reason(with_header(|header| without(header, "kid"))), ProviderReason::UnknownKey);
    }

    #[test]
    fn another_key_does_not_verify() {
        let forged = token(&FORGER, |_, _| ());
        assert_eq!(reason(verify(&forged, &expected())), ProviderReason::Signature);
        // Not even when it comes along in the header.
        let forged = token(&FORGER, |header, _| header["jwk"] = FORGER.jwk("262"));
        assert_eq!(reason(verify(&forged, &expected())), ProviderReason::Signature);
    }

    #[test]
    fn the_key_must_be_the_one_that_is_named() {
        let good = token(&SIGNER, |_, _| ());
        let set = KeySet::read(&json!({"keys": [SIGNER.jwk("260")]})).unwrap();
        let outcome = Envelope::open(&good).unwrap().verify(set.find("260").unwrap(), &expected());
        assert_eq!(reason(outcome), ProviderReason::Signature);
    }

    #[test]
    fn a_changed_payload_or_signature_does_not_verify() {
        let good = token(&SIGNER, |_, _| ());
        let other = token(&SIGNER, |_, payload| payload["name"] = json!("Eve"));
        let parts: Vec<_> = good.split('.').collect();
        let others: Vec<_> = other.split('.').collect();
        for mixed in [
            format!("{}.{}.{}", parts[0], others[1], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}.{}", parts[0], parts[1], &parts[2][4..]),
            format!("{}.{}.!!!", parts[0], parts[1]),
        ] {
            assert_eq!(reason(verify(&mixed, &expected())), ProviderReason::Signature, "{mixed}");
        }
    }

    #[test]
    fn the_issuer_is_compared_exactly() {
        for issuer in [
            json!("https://acme.my.salesforce.com/"),
            json!("https://ACME.my.salesforce.com"),
            json!("https://login.salesforce.com"),
            json!("http://acme.my.salesforce.com"),
            json!([ISSUER]),
            json!(null),
        ] {
            assert_eq!(reason(with_claims(|claims| claims["iss"] = issuer)), ProviderReason::Issuer);
        }
        assert_eq!(reason(with_claims(|claims| without(claims, "iss"))), ProviderReason::Issuer);
    }

    #[test]
    fn the_three_forms_of_audience_are_understood() {
        for audience in [
            json!(CLIENT_ID),
            json!([CLIENT_ID]),
            json!([CLIENT_ID, "https://api.example"]),
            json!(format!("{CLIENT_ID},https://api.example")),
            json!(format!("https://api.example,{CLIENT_ID}")),
        ] {
            with_claims(|claims| claims["aud"] = audience.clone()).unwrap();
            with_claims(|claims| {
                claims["aud"] = audience.clone();
                claims["azp"] = json!(CLIENT_ID);
            })
            .unwrap();
            let outcome = with_claims(|claims| {
                claims["aud"] = audience;
                claims["azp"] = json!("another");
            });
            assert_eq!(reason(outcome), ProviderReason::Audience);
        }
    }

    #[test]
    fn a_part_of_an_audience_is_not_us() {
        for audience in [
            json!(format!("{CLIENT_ID}x")),
            json!(format!("x{CLIENT_ID}")),
            json!(format!("{CLIENT_ID}x,https://api.example")),
            json!(format!(" {CLIENT_ID},https://api.example")),
            json!("https://api.example"),
            json!(CLIENT_ID.to_lowercase()),
            json!([]),
            json!([format!("{CLIENT_ID},https://api.example")]),
            json!([CLIENT_ID, 7]),
            json!({"aud": CLIENT_ID}),
            json!(null),
            json!(""),
        ] {
            let outcome = with_claims(|claims| claims["aud"] = audience.clone());
            assert_eq!(reason(outcome), ProviderReason::Audience, "{audience}");
        }
        assert_eq!(reason(with_claims(|claims| without(claims, "aud"))), ProviderReason::Audience);
    }

    #[test]
    fn an_empty_client_id_is_nobodys_audience() {
        let odd = token(&SIGNER, |_, payload| payload["aud"] = json!("a,,b"));
        assert_eq!(reason(verify(&odd, &Expected { client_id: "", ..expected() })), ProviderReason::Audience);
    }

    #[test]
    fn the_nonce_must_be_this_attempts() {
        for nonce in [json!("another"), json!(""), json!(null), json!([NONCE])] {
            assert_eq!(reason(with_claims(|claims| claims["nonce"] = nonce)), ProviderReason::Nonce);
        }
        assert_eq!(reason(with_claims(|claims| without(claims, "nonce"))), ProviderReason::Nonce);
        let empty = token(&SIGNER, |_, payload| payload["nonce"] = json!(""));
        assert_eq!(reason(verify(&empty, &Expected { nonce: "", ..expected() })), ProviderReason::Nonce);
    }

    #[test]
    fn the_access_token_must_be_the_one_that_came_along() {
        for hash in [json!(at_hash("another")), json!(""), json!(null)] {
            assert_eq!(reason(with_claims(|claims| claims["at_hash"] = hash)), ProviderReason::AccessTokenHash);
        }
        assert_eq!(reason(with_claims(|claims| without(claims, "at_hash"))), ProviderReason::AccessTokenHash);
        let bare = token(&SIGNER, |_, payload| without(payload, "at_hash"));
        verify(&bare, &Expected { access_token: None, ..expected() }).unwrap();
    }

    #[test]
    fn a_real_at_hash_is_reproduced() {
        // The example of OpenID Connect Core, appendix A.3.
        assert_eq!(at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"), "77QmUPtjPfzWtF2AnpK9RQ");
    }

    #[test]
    fn times_are_judged_within_the_skew() {
        let (now, skew) = (NOW.0, SKEW.as_secs());
        let judge = |exp: u64, iat: u64, nbf: u64| {
            with_claims(|claims| {
                claims["exp"] = json!(exp);
                claims["iat"] = json!(iat);
                claims["nbf"] = json!(nbf);
            })
        };
        judge(now - skew + 1, now - 100, now).unwrap();
        assert_eq!(reason(judge(now - skew, now - 100, now)), ProviderReason::Times);
        judge(now + 999, now + skew, now).unwrap();
        assert_eq!(reason(judge(now + 999, now + skew + 1, now)), ProviderReason::Times);
        judge(now + 999, now - skew - 600, now).unwrap();
        assert_eq!(reason(judge(now + 999, now - skew - 601, now)), ProviderReason::Times);
        judge(now + 999, now, now + skew).unwrap();
        assert_eq!(reason(judge(now + 999, now, now + skew + 1)), ProviderReason::Times);
        assert_eq!(reason(judge(now, now, now)), ProviderReason::Times);
    }

    #[test]
    fn times_are_numbers_within_reason() {
        let good = f64::from(u32::try_from(NOW.0).unwrap());
        with_claims(|claims| {
            claims["exp"] = json!(good + 120.5);
            claims["iat"] = json!(good - 0.5);
        })
        .unwrap();
        for odd in
            [json!("1790000120"), json!(null), json!(-1), json!(1e300), json!(u64::MAX), json!([NOW.0]), json!(true)]
        {
            for name in ["exp", "iat", "nbf"] {
                let outcome = with_claims(|claims| claims[name] = odd.clone());
                assert_eq!(reason(outcome), ProviderReason::Times, "{name} {odd}");
            }
        }
        for name in ["exp", "iat"] {
            assert_eq!(reason(with_claims(|claims| without(claims, name))), ProviderReason::Times);
        }
    }

    #[test]
    fn the_subject_must_be_an_identity_address() {
        for subject in
            [json!("uid:0055g00000AbCdEAAV"), json!(null), json!(7), json!("https://login.salesforce.com/id/x/y")]
        {
            assert_eq!(reason(with_claims(|claims| claims["sub"] = subject)), ProviderReason::Subject);
        }
        assert_eq!(reason(with_claims(|claims| without(claims, "sub"))), ProviderReason::Subject);
    }

    #[test]
    fn a_strangers_words_reach_the_log_cleaned() {
        let Err(Trouble::Misbehaved { detail, .. }) = with_claims(|claims| claims["iss"] = json!("a\nb".repeat(999)))
        else {
            panic!("a refusal")
        };
        assert!(!detail.contains('\n') && detail.len() <= 200, "{detail}");
    }

    proptest! {
        #[test]
        fn garbage_never_panics_and_never_opens(text in "[A-Za-z0-9_.=-]{0,200}") {
            prop_assert!(Envelope::open(&text).is_err());
        }

        #[test]
        fn odd_claims_never_panic(name in "(iss|aud|azp|exp|iat|nbf|nonce|at_hash|sub)", value in odd_json()) {
            // A signed token with one odd claim is refused, or still names the same person.
            let outcome = with_claims(|claims| claims[&name] = value);
            if let Ok(claims) = outcome {
                prop_assert_eq!((claims.organization, claims.user), person());
            }
        }

        #[test]
        fn a_changed_byte_is_noticed(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_-]") {
            let good = token(&SIGNER, |_, _| ());
            let at = at.index(good.len());
            let mut changed = good.clone();
            changed.replace_range(at..=at, &with);
            prop_assume!(changed != good && !good[at..].starts_with('.'));
            let envelope = Envelope::open(&changed);
            let set = KeySet::read(&json!({"keys": [SIGNER.jwk("262")]})).unwrap();
            if let Ok(envelope) = envelope && let Some(key) = set.find(envelope.key_id()) {
                prop_assert!(envelope.verify(key, &expected()).is_err());
            }
        }
    }

    fn odd_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-z]{0,4}", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }
}
