//! The token endpoint: codes and refresh tokens into tokens (behaviours 12, 13, 15 to 20).
//!
//! Every error is 400 with Salesforce's own words, also where RFC 6749 says 401. Called by the emulator's
//! dispatch.

use std::io;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::complaints::{self as say, Complaint};
use super::grants::{Code, Redeemed};
use super::idtoken::{self, Facts};
use super::keys::base64_standard;
use super::mischief::Mischief;
use super::people::{Account, FOREIGNER, Person};
use super::settings::{AccessTokens, App, Rotation};
use super::wire::{self, Form, Head};
use super::{Base, Org};
use crate::clock::Timestamp;
use crate::http::{self, Response};
use crate::secret::{self, NoRandomness};

/// Longer than any client should wait.
const SLOW: Duration = Duration::from_secs(300);

/// What is to be handed out.
struct Handout<'a> {
    person: &'static Person,
    scopes: &'a [String],
    nonce: Option<&'a str>,
    issuer: &'a str,
    refresh_token: Option<String>,
    grant: Option<u64>,
}

impl Org {
    /// `/services/oauth2/token`.
    pub(super) async fn token(&self, base: &Base, head: &Head, form: &Form, now: Timestamp) -> Response {
        self.note("token");
        self.note_token_request(form.names());
        match self.mischief() {
            Some(Mischief::TokenSlow) => {
                tokio::select! {
                    () = tokio::time::sleep(SLOW) => {}
                    () = self.drain.cancelled() => {}
                }
                return wire::hang_up();
            }
            Some(Mischief::TokenDown) => return wire::hang_up(),
            // behaviour 19
            Some(Mischief::Token500) => return wire::html_page(StatusCode::INTERNAL_SERVER_ERROR),
            Some(Mischief::Token503) => return wire::html_page(StatusCode::SERVICE_UNAVAILABLE),
            Some(Mischief::TokenHtml) => return wire::html_page(StatusCode::OK),
            Some(Mischief::TokenOversized) => return wire::oversized(),
            Some(Mischief::TokenRedirect) => return wire::redirect_elsewhere(StatusCode::TEMPORARY_REDIRECT),
            Some(Mischief::TokenError(complaint)) => return complain(complaint),
            _ => {}
        }
        match self.exchange(base, head, form, now) {
            Ok(Ok(tokens)) => http::json(StatusCode::OK, &tokens),
            Ok(Err(complaint)) => complain(complaint),
            Err(_) => wire::html_page(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn exchange(&self, base: &Base, head: &Head, form: &Form, now: Timestamp) -> io::Result<Result<Value, Complaint>> {
        if head.method != Method::POST {
            return Ok(Err(say::GRANT_TYPE));
        }
        // behaviour 16: no scope here, ever
        if form.get("scope").is_some() {
            return Ok(Err(say::SCOPE_UNSUPPORTED));
        }
        let app = self.app();
        if let Err(complaint) = self.authenticate(base, &app, head, form, now) {
            return Ok(Err(complaint));
        }
        match form.get("grant_type") {
            Some("authorization_code") => self.exchange_code(&app, form, now),
            Some("refresh_token") => self.refresh(&app, form, now),
            _ => Ok(Err(say::GRANT_TYPE)),
        }
    }

    fn exchange_code(&self, app: &App, form: &Form, now: Timestamp) -> io::Result<Result<Value, Complaint>> {
        let redeemed = self.memory().redeem(form.get("code").unwrap_or_default(), now);
        let code = match redeemed {
            Redeemed::Code(code) => code,
            Redeemed::Expired => return Ok(Err(say::CODE_EXPIRED)),
            Redeemed::Unknown => return Ok(Err(say::CODE_INVALID)),
        };
        if let Err(complaint) = check(&code, form) {
            return Ok(Err(complaint));
        }
        // behaviour 17: a refresh token only with its scope
        let offline = code.request.scopes.iter().any(|scope| scope == "refresh_token" || scope == "offline_access");
        let refresh_token = if offline { Some(refresh_token().map_err(io::Error::other)?) } else { None };
        let grant = refresh_token.clone().map(|token| self.memory().issue_grant(token, &code));
        let nonce = code.request.nonce.as_deref();
        let handout = Handout {
            person: code.person,
            scopes: &code.request.scopes,
            nonce,
            issuer: &code.issuer,
            refresh_token,
            grant,
        };
        self.hand_out(app, handout, now).map(Ok)
    }

    // behaviour 20
    fn refresh(&self, app: &App, form: &Form, now: Timestamp) -> io::Result<Result<Value, Complaint>> {
        let renewed = match app.rotation {
            Rotation::On => Some(refresh_token().map_err(io::Error::other)?),
            Rotation::Off => None,
        };
        let token = form.get("refresh_token").unwrap_or_default();
        let grant = self.memory().refresh(token, renewed.clone());
        let Some(grant) = grant else { return Ok(Err(say::TOKEN_EXPIRED)) };
        let handout = Handout {
            person: grant.person,
            scopes: &grant.scopes,
            nonce: None,
            issuer: &grant.issuer,
            refresh_token: renewed,
            grant: Some(grant.id),
        };
        self.hand_out(app, handout, now).map(Ok)
    }

    // behaviour 17: no expires_in; issued_at is a string of milliseconds
    fn hand_out(&self, app: &App, handout: Handout<'_>, now: Timestamp) -> io::Result<Value> {
        let mischief = self.mischief();
        let person = if mischief == Some(Mischief::ForeignOrganization) { &FOREIGNER } else { handout.person };
        let now = if mischief == Some(Mischief::ClockAhead) { now.after(Duration::from_secs(30)) } else { now };
        let instance = self.instance.as_str();
        let opaque = access_token(person).map_err(io::Error::other)?;
        let mut facts = Facts {
            issuer: handout.issuer,
            instance,
            identity_host: self.kind.identity_host(),
            person,
            scopes: handout.scopes,
            nonce: handout.nonce,
            access_token: &opaque,
            app,
            now,
        };
        let jwt = app.access_tokens == AccessTokens::Jwt || mischief == Some(Mischief::JwtAccessToken);
        let access = if jwt { idtoken::access_token(&facts, &self.keys)? } else { opaque.clone() };
        facts.access_token = &access;
        self.memory().issue_access(access.clone(), person, handout.scopes, handout.grant, now);

        let id_host = if mischief == Some(Mischief::IdentityOnMyDomain) { instance } else { self.kind.identity_host() };
        let id = format!("{id_host}{}", person.identity_path());
        let issued_at = format!("{}000", now.0);
        let secret =
            if mischief == Some(Mischief::WrongSignature) { "another secret" } else { app.client_secret.as_str() };
        let mut tokens = json!({
            "access_token": access,
            "signature": response_signature(secret, &id, &issued_at),
            "scope": handout.scopes.iter().rev().map(String::as_str).collect::<Vec<_>>().join(" "),
            "instance_url": instance,
            "id": id,
            "token_type": "Bearer",
            "issued_at": issued_at,
        });
        if handout.scopes.iter().any(|scope| scope == "openid") && mischief != Some(Mischief::MissingIdToken) {
            tokens["id_token"] = json!(idtoken::id_token(&facts, &self.keys, mischief)?);
        }
        if let Some(refresh_token) = handout.refresh_token {
            tokens["refresh_token"] = json!(refresh_token);
        }
        match mischief {
            Some(Mischief::TokenTypeMac) => tokens["token_type"] = json!("mac"),
            Some(Mischief::MissingAccessToken) => {
                tokens.as_object_mut().map(|tokens| tokens.remove("access_token"));
            }
            Some(Mischief::InstanceWithSlash) => tokens["instance_url"] = json!(format!("{instance}/")),
            Some(Mischief::CommunityParameters) => {
                tokens["sfdc_community_url"] = json!(self.site);
                tokens["sfdc_community_id"] = json!("0DB5g0000008OIaGAM");
            }
            _ => {}
        }
        Ok(tokens)
    }
}

/// What must fit the authorize request (behaviours 12 and 13), and whether the account still works.
fn check(code: &Code, form: &Form) -> Result<(), Complaint> {
    if form.get("redirect_uri") != Some(code.request.redirect_uri.as_str()) {
        return Err(say::REDIRECT_MISMATCH);
    }
    match (&code.request.challenge, form.get("code_verifier")) {
        (Some(_), None) => return Err(say::VERIFIER_MISSING),
        (Some(challenge), Some(verifier)) if *challenge != challenge_of(verifier) => return Err(say::VERIFIER_WRONG),
        _ => {}
    }
    match code.person.account {
        Account::Active => Ok(()),
        Account::Inactive => Err(say::USER_INACTIVE),
    }
}

/// `S256` (RFC 7636 section 4.2).
pub fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

/// `signature`: HMAC-SHA256 of `id` and `issued_at` under the app's secret (behaviour 17).
pub fn response_signature(secret: &str, id: &str, issued_at: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    base64_standard(hmac::sign(&key, format!("{id}{issued_at}").as_bytes()).as_ref())
}

/// 400 with JSON, whatever went wrong (behaviour 19).
pub fn complain(complaint: Complaint) -> Response {
    let mut body = json!({"error": complaint.error});
    if !complaint.description.is_empty() {
        body["error_description"] = json!(complaint.description);
    }
    http::json(StatusCode::BAD_REQUEST, &body)
}

// behaviour 18: the org's short id, then 96 characters that mean nothing
fn access_token(person: &Person) -> Result<String, NoRandomness> {
    let noise = URL_SAFE_NO_PAD.encode(secret::random::<72>()?).replace('-', ".");
    Ok(format!("{}!{noise}", person.short_organization()))
}

fn refresh_token() -> Result<String, NoRandomness> {
    let noise = URL_SAFE_NO_PAD.encode(secret::random::<60>()?).replace('-', ".");
    Ok(format!("5Aep861{noise}"))
}
