//! The keys that a provider publishes (RFC 7517), sorted into those that may sign ID tokens and the rest.
//!
//! Salesforce signs JWT *access* tokens with keys of the same set (`kid` = `CORE_ATJWT....`), with the same
//! algorithm and issuer; taking any key of the set would let such a token pass as an ID token. Its keys for ID
//! tokens have numbers for ids (salesforce.md 1.5), so nothing else is used. Called by `jwt` and `oidc`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde_json::Value;

use crate::identity::trouble::clean;

/// The most keys that are looked at; Salesforce publishes about six.
const MAX_KEYS: usize = 100;
/// RFC 7518 section 3.3: a key of 2048 bits or more must be used.
const MIN_BITS: usize = 2048;
/// Larger ones only cost us time.
const MAX_BITS: usize = 8192;

/// One key that may sign ID tokens.
pub struct Key {
    id: String,
    decoding: DecodingKey,
}

impl Key {
    /// Its `kid`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

/// A published set.
#[derive(Default)]
pub struct KeySet {
    usable: Vec<Key>,
    ignored: Vec<(String, &'static str)>,
}

impl KeySet {
    /// Sorts the members of `keys`; `None` when there is no such list. An odd key is ignored, never fatal: the
    /// set may grow kinds that we do not know.
    pub fn read(document: &Value) -> Option<Self> {
        let mut set = Self::default();
        for jwk in document.get("keys")?.as_array()?.iter().take(MAX_KEYS) {
            let id = jwk.get("kid").and_then(Value::as_str).unwrap_or_default();
            match read_key(id, jwk) {
                Ok(_) if set.find(id).is_some() => set.ignored.push((clean(id), "its id is another key's")),
                Ok(key) => set.usable.push(key),
                Err(why) => set.ignored.push((clean(id), why)),
            }
        }
        Some(set)
    }

    /// The key of this id, if it may sign ID tokens.
    pub fn find(&self, id: &str) -> Option<&Key> {
        self.usable.iter().find(|key| key.id == id)
    }

    /// The ids of the keys that may sign ID tokens.
    pub fn usable(&self) -> impl Iterator<Item = &str> {
        self.usable.iter().map(Key::id)
    }

    /// The other keys, each with the reason.
    pub fn ignored(&self) -> &[(String, &'static str)] {
        &self.ignored
    }
}

/// Whether Salesforce signs ID tokens with keys of such an id: the number of a release.
pub(super) fn is_for_id_tokens(key_id: &str) -> bool {
    (1..=20).contains(&key_id.len()) && key_id.bytes().all(|byte| byte.is_ascii_digit())
}

fn read_key(id: &str, jwk: &Value) -> Result<Key, &'static str> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let absent_or = |name: &str, wanted: &str| jwk.get(name).is_none_or(|value| value.as_str() == Some(wanted));
    if id.starts_with("CORE_ATJWT") {
        return Err("it signs access tokens");
    }
    if !is_for_id_tokens(id) {
        return Err("its id is no number");
    }
    if text("kty") != Some("RSA") {
        return Err("it is no RSA key");
    }
    if !absent_or("use", "sig") {
        return Err("it is not for signatures");
    }
    if !absent_or("alg", "RS256") {
        return Err("it is not for RS256");
    }
    let number = |name: &str| URL_SAFE_NO_PAD.decode(text(name).unwrap_or_default()).unwrap_or_default();
    let (modulus, exponent) = (number("n"), number("e"));
    if !(MIN_BITS..=MAX_BITS).contains(&bits(&modulus)) {
        return Err("its length is not from 2048 to 8192 bits");
    }
    if !(2..=64).contains(&bits(&exponent)) {
        return Err("its exponent is unusable");
    }
    Ok(Key { id: id.to_owned(), decoding: DecodingKey::from_rsa_raw_components(&modulus, &exponent) })
}

/// How many bits a big-endian number has, leading zeros not counted.
fn bits(number: &[u8]) -> usize {
    match number.iter().position(|byte| *byte != 0) {
        Some(first) => (number.len() - first) * 8 - number[first].leading_zeros() as usize,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn jwk(change: impl FnOnce(&mut Value)) -> Value {
        let mut modulus = vec![0x80; 256];
        modulus[255] = 1;
        let mut jwk = json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "262", "e": "AQAB",
            "n": URL_SAFE_NO_PAD.encode(modulus)});
        change(&mut jwk);
        jwk
    }

    fn why(jwk: Value) -> &'static str {
        let set = KeySet::read(&json!({"keys": [jwk]})).unwrap();
        assert_eq!(set.usable().count(), 0);
        set.ignored()[0].1
    }

    #[test]
    fn a_numbered_rsa_key_is_usable() {
        let set = KeySet::read(&json!({"keys": [jwk(|_| ())]})).unwrap();
        assert_eq!(set.find("262").unwrap().id(), "262");
        assert!(set.find("264").is_none());
    }

    #[test]
    fn use_and_alg_may_be_absent() {
        let bare = jwk(|jwk| {
            jwk.as_object_mut().unwrap().remove("use");
            jwk.as_object_mut().unwrap().remove("alg");
        });
        assert!(KeySet::read(&json!({"keys": [bare]})).unwrap().find("262").is_some());
    }

    #[test]
    fn an_access_token_key_signs_no_id_token() {
        assert_eq!(
            why(jwk(|jwk| jwk["kid"] = json!("CORE_ATJWT.00D5g00000ABCDE.1753488000000"))),
            "it signs access tokens"
        );
    }

    #[test]
    fn other_keys_are_ignored_each_for_its_reason() {
        assert_eq!(why(jwk(|jwk| jwk["kid"] = json!("asset"))), "its id is no number");
        assert_eq!(why(jwk(|jwk| jwk["kid"] = json!(262))), "its id is no number");
        assert_eq!(why(jwk(|jwk| jwk["kid"] = json!(""))), "its id is no number");
        assert_eq!(why(jwk(|jwk| jwk["kty"] = json!("EC"))), "it is no RSA key");
        assert_eq!(why(jwk(|jwk| jwk["use"] = json!("enc"))), "it is not for signatures");
        assert_eq!(why(jwk(|jwk| jwk["alg"] = json!("PS256"))), "it is not for RS256");
        assert_eq!(why(jwk(|jwk| jwk["alg"] = json!(null))), "it is not for RS256");
        assert_eq!(why(jwk(|jwk| jwk["e"] = json!("AQ"))), "its exponent is unusable");
        assert_eq!(why(json!("no object")), "its id is no number");
    }

    #[test]
    fn a_key_of_2047_bits_is_too_short() {
        let mut modulus = vec![0xff; 256];
        modulus[0] = 0x7f;
        assert_eq!(
            why(jwk(|jwk| jwk["n"] = json!(URL_SAFE_NO_PAD.encode(&modulus)))),
            "its length is not from 2048 to 8192 bits"
        );
        // Leading zeros do not make it longer.
        modulus.insert(0, 0);
        modulus.insert(0, 0);
        assert_eq!(
            why(jwk(|jwk| jwk["n"] = json!(URL_SAFE_NO_PAD.encode(&modulus)))),
            "its length is not from 2048 to 8192 bits"
        );
    }

    #[test]
    fn the_second_key_of_one_id_is_ignored() {
        let set = KeySet::read(&json!({"keys": [jwk(|_| ()), jwk(|_| ())]})).unwrap();
        assert_eq!(set.usable().count(), 1);
        assert_eq!(set.ignored()[0].1, "its id is another key's");
    }

    #[test]
    fn what_is_no_set_is_none() {
        for document in [json!({}), json!([]), json!({"keys": {}}), json!(null)] {
            assert!(KeySet::read(&document).is_none());
        }
    }

    proptest! {
        #[test]
        fn odd_members_never_panic(kid in any::<String>(), n in any::<String>(), e in any::<String>()) {
            let set = KeySet::read(&json!({"keys": [{"kty": "RSA", "kid": kid, "n": n, "e": e}]})).unwrap();
            prop_assert_eq!(set.usable().count() + set.ignored().len(), 1);
        }
    }
}
