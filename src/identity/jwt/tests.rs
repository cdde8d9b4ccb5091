//! ID tokens that are believed, and every reason not to.

use super::keys::KeySet;
use super::*;
use crate::identity::trial::{ACCESS_TOKEN, CLIENT_ID, FORGER, NOW, SIGNER, Signer, at_hash, header, payload, person};
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
    for id in [json!("asset"), json!(""), json!("26a"), json!("-1"), json!(262), json!(null), json!("2".repeat(21))] {
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
    for odd in [json!("1790000120"), json!(null), json!(-1), json!(1e300), json!(u64::MAX), json!([NOW.0]), json!(true)]
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
