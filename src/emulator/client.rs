//! Client authentication at the token, revocation and introspection endpoints (behaviour 16).
//!
//! Credentials in the body win over the header; a signed assertion is looked at only when no secret came; a
//! secret that need not be sent must still be right when it is.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::complaints::{self as say, Complaint, complaint};
use super::settings::{App, Basic, SecretPolicy};
use super::wire::{Form, Head};
use super::{Base, Org};
use crate::clock::Timestamp;
use crate::secret;

/// RFC 7523 section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(serde::Deserialize)]
struct Assertion {
    iss: String,
    sub: String,
    aud: serde_json::Value,
    exp: u64,
    jti: String,
}

impl Org {
    /// Whether the request comes from the app.
    pub(super) fn authenticate(
        &self,
        base: &Base,
        app: &App,
        head: &Head,
        form: &Form,
        now: Timestamp,
    ) -> Result<(), Complaint> {
        let in_body = form.get("client_id").map(str::to_owned).zip(form.get("client_secret").map(str::to_owned));
        if let Some((id, secret)) = in_body {
            return self.compare(app, &id, &secret, "client_secret_post");
        }
        if let Some((id, secret)) = head.basic() {
            return match app.basic {
                Basic::Accepted => self.compare(app, &id, &secret, "client_secret_basic"),
                Basic::Broken => Err(say::CLIENT_UNKNOWN),
            };
        }
        if let Some(assertion) = form.get("client_assertion") {
            if form.get("client_assertion_type") != Some(JWT_BEARER) {
                return Err(complaint("invalid_assertion_type", "unsupported client assertion type"));
            }
            let verified = app.assertion_key.as_deref().is_some_and(|key| self.asserts(base, app, key, assertion, now));
            self.note_client("private_key_jwt");
            return if verified { Ok(()) } else { Err(say::SECRET_WRONG) };
        }
        match form.get("client_id") {
            Some(id) if id == app.client_id => {}
            _ => return Err(say::CLIENT_UNKNOWN),
        }
        self.note_client("none");
        match app.secret {
            SecretPolicy::Optional => Ok(()),
            SecretPolicy::Required => Err(say::SECRET_WRONG),
        }
    }

    fn compare(&self, app: &App, id: &str, sent: &str, way: &'static str) -> Result<(), Complaint> {
        self.note_client(way);
        if id != app.client_id {
            return Err(say::CLIENT_UNKNOWN);
        }
        if secret::same(sent.as_bytes(), app.client_secret.as_bytes()) { Ok(()) } else { Err(say::SECRET_WRONG) }
    }

    fn asserts(&self, base: &Base, app: &App, key: &str, assertion: &str, now: Timestamp) -> bool {
        let Ok(key) = DecodingKey::from_rsa_pem(key.as_bytes()) else { return false };
        let mut rules = Validation::new(Algorithm::RS256);
        // judged below, by our own clock
        rules.validate_exp = false;
        rules.validate_aud = false;
        let Ok(token) = jsonwebtoken::decode::<Assertion>(assertion, &key, &rules) else { return false };
        let claims = token.claims;
        let here = [base.url.clone(), format!("{}/services/oauth2/token", base.url)];
        let audience = match &claims.aud {
            serde_json::Value::String(one) => here.contains(one),
            serde_json::Value::Array(many) => {
                many.iter().filter_map(|one| one.as_str()).any(|one| here.iter().any(|base| base == one))
            }
            _ => false,
        };
        let timely = claims.exp > now.0 && claims.exp <= now.0 + 600;
        claims.iss == app.client_id
            && claims.sub == app.client_id
            && audience
            && timely
            && self.memory().first_use(&claims.jti)
    }
}
