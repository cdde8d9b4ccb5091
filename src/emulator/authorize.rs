//! The authorize endpoint and the approval page: from the app's request to its callback.
//!
//! Order matters. Until client and redirect address are known to belong together nothing is redirected
//! (behaviour 11); afterwards errors travel to the callback (behaviour 14). The request itself waits under an
//! opaque `source` while the person signs in and approves. Called by the emulator's dispatch.

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};

use super::complaints::{self as say, Complaint};
use super::grants::{Pending, Visitor};
use super::keys::base64_standard;
use super::mischief::Mischief;
use super::people::{AppAccess, Person};
use super::settings::{App, Approval, Permitted, Pkce, Redirects};
use super::signin::sign_in_address;
use super::wire::{self, Form, Head};
use super::{Base, Org};
use crate::clock::Timestamp;
use crate::http::{self, Response};
use crate::secret;

/// Where Salesforce shows its approval page.
pub(super) const APPROVAL: &str = "/setup/secur/RemoteAccessAuthorizationPage.apexp";

/// Why there is no code yet.
enum Trouble {
    /// Shown at the org, never redirected.
    Shown(Complaint),
    /// Told to the callback.
    Told(Complaint),
}

impl Org {
    /// `/services/oauth2/authorize`.
    pub(super) fn authorize(&self, base: &Base, head: &Head, form: &Form) -> Response {
        self.note("authorize");
        let asked = if head.method == Method::POST { form } else { &head.query };
        let app = self.app();
        let redirect_uri = match check_client(&app, asked) {
            Ok(redirect_uri) => redirect_uri,
            Err(complaint) => return self.pages.error(base, complaint), // behaviour 11
        };
        let state = asked.get("state");
        let mut pending = match check_request(&app, asked, redirect_uri) {
            Ok(pending) => pending,
            Err(Trouble::Shown(complaint)) => return show_challenge_missing(complaint),
            Err(Trouble::Told(complaint)) => return self.tell(base, redirect_uri, state, complaint),
        };
        let visitor = self.memory().visitor(head.session());
        let settled = visitor.filter(|visitor| !self.must_ask(&app, &pending, visitor));
        if asked.get("immediate") == Some("true") && settled.is_none() {
            return self.tell(base, redirect_uri, state, say::NOT_IMMEDIATE);
        }
        let Ok(source) = secret::random_token() else { return wire::html_page(StatusCode::SERVICE_UNAVAILABLE) };
        let next = {
            let mut memory = self.memory();
            pending.serial = memory.next_serial();
            let next = format!("{}{APPROVAL}?source={source}", base.path);
            memory.hold(source, pending);
            next
        };
        // behaviour 10: to the sign-in page, or straight to the approval page when there is nothing to sign
        if visitor.is_some() && asked.get("prompt").is_none_or(|prompt| !prompt.contains("login")) {
            return wire::found(&next);
        }
        let sign_in = sign_in_address(base, &next);
        match self.redirects {
            Redirects::Plain => wire::found(&sign_in),
            Redirects::Script => self.pages.onward(&sign_in),
        }
    }

    /// The approval page: asks, or goes on by itself when nobody needs to be asked.
    pub(super) fn approval(&self, base: &Base, head: &Head, now: Timestamp) -> Response {
        self.note("approval");
        let source = head.query.get("source").unwrap_or_default();
        let held = self.memory().held(source);
        let Some(pending) = held else { return self.pages.stale(base) };
        let visitor = self.memory().visitor(head.session());
        let Some(visitor) = visitor.filter(|visitor| !must_sign_in(&pending, *visitor)) else {
            let here = format!("{}{APPROVAL}?source={source}", base.path);
            return wire::found(&sign_in_address(base, &here));
        };
        let app = self.app();
        // "Permitted Users" (behaviour 14)
        if app.permitted == Permitted::AdminApproved && visitor.person.access == AppAccess::NotApproved {
            self.memory().take(source);
            return self.tell(base, &pending.redirect_uri, pending.state.as_deref(), say::APP_DENIED);
        }
        if self.must_ask(&app, &pending, &visitor) {
            return self.pages.approve(base, visitor.person, &pending.scopes, source);
        }
        self.memory().take(source);
        self.give_code(base, visitor.person, pending, now)
    }

    /// The approval page's buttons.
    pub(super) fn decide(&self, base: &Base, head: &Head, form: &Form, now: Timestamp) -> Response {
        let source = form.get("source").unwrap_or_default();
        let visitor = self.memory().visitor(head.session());
        let Some(visitor) = visitor else { return self.pages.stale(base) };
        let taken = self.memory().take(source);
        let Some(pending) = taken.filter(|pending| !must_sign_in(pending, visitor)) else {
            return self.pages.stale(base);
        };
        let barred =
            self.app().permitted == Permitted::AdminApproved && visitor.person.access == AppAccess::NotApproved;
        if barred {
            return self.tell(base, &pending.redirect_uri, pending.state.as_deref(), say::APP_DENIED);
        }
        if form.get("decision") != Some("allow") {
            return self.tell(base, &pending.redirect_uri, pending.state.as_deref(), say::DENIED);
        }
        self.memory().approve(visitor.person);
        self.give_code(base, visitor.person, pending, now)
    }

    // behaviour 10: approval is remembered
    fn must_ask(&self, app: &App, pending: &Pending, visitor: &Visitor) -> bool {
        let asks = app.approval == Approval::Asked;
        asks && (pending.ask_again || !self.memory().approved(visitor.person))
    }

    fn give_code(&self, base: &Base, person: &'static Person, pending: Pending, now: Timestamp) -> Response {
        let mischief = self.mischief();
        if let Some(Mischief::CallbackError(complaint)) = mischief {
            return self.tell(base, &pending.redirect_uri, pending.state.as_deref(), complaint);
        }
        let Ok(noise) = secret::random::<64>() else { return wire::html_page(StatusCode::SERVICE_UNAVAILABLE) };
        // behaviour 15: ends in ==, hence arrives percent-encoded
        let code = format!("aPrx{}", base64_standard(&noise));
        let redirect_uri = pending.redirect_uri.clone();
        let state = pending.state.clone();
        self.memory().issue_code(code.clone(), person, pending, &base.url, now);
        let mut answer = vec![("code", code)];
        answer.extend(state.map(|state| ("state", state)));
        self.spoil_callback(base, &mut answer);
        wire::found(&callback(&redirect_uri, &answer))
    }

    fn spoil_callback(&self, base: &Base, answer: &mut Vec<(&'static str, String)>) {
        let forged = format!("aPrx{}", base64_standard(&[7; 64]));
        match self.mischief() {
            Some(Mischief::StateMissing) => answer.retain(|pair| pair.0 != "state"),
            Some(Mischief::StateChanged) => change(answer, "state", "another-state"),
            Some(Mischief::StateTwice) => answer.push(("state", "another-state".to_owned())),
            Some(Mischief::CodeMissing) => answer.retain(|pair| pair.0 != "code"),
            Some(Mischief::CodeForged) => change(answer, "code", &forged),
            Some(Mischief::CodeTwice) => answer.push(("code", forged)),
            Some(Mischief::CodeAndError) => answer.push(("error", say::DENIED.error.to_owned())),
            Some(Mischief::WrongIssuerParameter) => answer.push(("iss", super::idtoken::ELSEWHERE.to_owned())),
            Some(Mischief::IssuerParameter) => answer.push(("iss", base.url.clone())),
            // behaviour 15: what a site's login appends, and nobody should trust
            Some(Mischief::CommunityParameters) => {
                answer.push(("sfdc_community_url", self.site.clone()));
                answer.push(("sfdc_community_id", "0DB5g0000008OIaGAM".to_owned()));
            }
            _ => {}
        }
    }

    // behaviour 14: told to the callback, with the state
    fn tell(&self, base: &Base, redirect_uri: &str, state: Option<&str>, complaint: Complaint) -> Response {
        let mut answer = vec![("error", complaint.error.to_owned())];
        if !complaint.description.is_empty() {
            answer.push(("error_description", complaint.description.to_owned()));
        }
        answer.extend(state.map(|state| ("state", state.to_owned())));
        self.spoil_callback(base, &mut answer);
        wire::found(&callback(redirect_uri, &answer))
    }
}

/// Whether `prompt=login` was asked for after this visitor had signed in.
fn must_sign_in(pending: &Pending, visitor: Visitor) -> bool {
    pending.fresh_login && visitor.serial < pending.serial
}

/// Client and redirect address, compared exactly (behaviours 11 and 13).
fn check_client<'a>(app: &App, asked: &'a Form) -> Result<&'a str, Complaint> {
    if asked.get("client_id") != Some(app.client_id.as_str()) {
        return Err(say::CLIENT_UNKNOWN);
    }
    let Some(redirect_uri) = asked.get("redirect_uri") else { return Err(say::REDIRECT_MISSING) };
    if app.redirect_uris.iter().any(|registered| registered == redirect_uri) {
        Ok(redirect_uri)
    } else {
        Err(say::REDIRECT_MISMATCH)
    }
}

fn check_request(app: &App, asked: &Form, redirect_uri: &str) -> Result<Pending, Trouble> {
    if asked.get("response_type") != Some("code") {
        return Err(Trouble::Told(say::RESPONSE_TYPE));
    }
    // behaviour 12
    if app.pkce == Pkce::Required && asked.get("code_challenge").is_none() {
        return Err(Trouble::Shown(say::CHALLENGE_MISSING));
    }
    if asked.get("code_challenge_method").is_some_and(|method| method != "S256") {
        return Err(Trouble::Told(say::complaint("invalid_request", "code challenge method not supported")));
    }
    let scopes = match asked.get("scope") {
        None => app.scopes.clone(),
        Some(scopes) => scopes.split_ascii_whitespace().map(str::to_owned).collect(),
    };
    if scopes.iter().any(|scope| !app.scopes.contains(scope)) {
        return Err(Trouble::Told(say::SCOPE_INVALID));
    }
    let prompt: Vec<&str> = asked.get("prompt").unwrap_or_default().split_ascii_whitespace().collect();
    Ok(Pending {
        serial: 0,
        redirect_uri: redirect_uri.to_owned(),
        state: asked.get("state").map(str::to_owned),
        nonce: asked.get("nonce").map(str::to_owned),
        challenge: asked.get("code_challenge").map(str::to_owned),
        scopes,
        hint: asked.get("login_hint").map(str::to_owned),
        fresh_login: prompt.contains(&"login") || prompt.contains(&"select_account"),
        ask_again: prompt.contains(&"consent"),
    })
}

// behaviour 12: an empty Content-Type, which browsers save as a file called "authorize"
fn show_challenge_missing(complaint: Complaint) -> Response {
    let mut response = http::text(StatusCode::BAD_REQUEST, wire::shown(complaint));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(""));
    response
}

fn callback(redirect_uri: &str, answer: &[(&str, String)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(answer).finish();
    let joint = if redirect_uri.contains('?') { '&' } else { '?' };
    format!("{redirect_uri}{joint}{query}")
}

fn change(answer: &mut [(&'static str, String)], name: &str, value: &str) {
    for pair in answer.iter_mut().filter(|pair| pair.0 == name) {
        value.clone_into(&mut pair.1);
    }
}
