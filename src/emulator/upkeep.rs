//! Revoking and introspecting tokens (behaviours 22 and 23).
//!
//! Called by the emulator's dispatch.

use hyper::{Method, StatusCode};
use serde_json::json;

use super::complaints::complaint;
use super::people::Person;
use super::token::complain;
use super::wire::{Form, Head};
use super::{Base, Org};
use crate::clock::Timestamp;
use crate::http::{self, Response};

impl Org {
    /// `/services/oauth2/revoke`: 200 and nothing, and an error when the token is not alive, unlike RFC 7009
    /// section 2.2 (behaviour 22).
    pub(super) fn revoke(&self, head: &Head, form: &Form) -> Response {
        self.note("revoke");
        let token = form.get("token").or_else(|| head.query.get("token")).unwrap_or_default();
        if self.memory().revoke(token) {
            http::text(StatusCode::OK, "")
        } else {
            complain(complaint("invalid_token", "Token was invalid"))
        }
    }

    /// `/services/oauth2/introspect`: what is not alive is only `active: false` (behaviour 23).
    pub(super) fn introspect(&self, base: &Base, head: &Head, form: &Form, now: Timestamp) -> Response {
        self.note("introspect");
        if head.method != Method::POST {
            return complain(complaint("invalid_request", "Must use HTTP POST"));
        }
        let app = self.app();
        if let Err(why) = self.authenticate(base, &app, head, form, now) {
            return complain(why);
        }
        let token = form.get("token").unwrap_or_default();
        let describe = |person: &Person, scopes: &[String], kind: &str| {
            json!({
                "active": true,
                "scope": scopes.join(" "),
                "client_id": app.client_id,
                "username": person.username,
                "sub": format!("{}{}", self.kind.identity_host(), person.identity_path()),
                "token_type": kind,
            })
        };
        let memory = self.memory();
        if let Some(access) = memory.access(token, now) {
            let mut answer = describe(access.person, &access.scopes, "access_token");
            answer["exp"] = json!(access.expires().0);
            answer["iat"] = json!(access.issued.0);
            answer["nbf"] = json!(access.issued.0);
            return http::json(StatusCode::OK, &answer);
        }
        match memory.grant(token) {
            Some(grant) => http::json(StatusCode::OK, &describe(grant.person, &grant.scopes, "refresh_token")),
            None => http::json(StatusCode::OK, &json!({"active": false})),
        }
    }
}
