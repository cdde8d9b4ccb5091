//! Signing in at the pretend org, and out of it (behaviours 10 and 27).
//!
//! A list of people to be, for comfort, and a form with username and password as in life. Called by the
//! emulator's dispatch.

use hyper::StatusCode;
use hyper::header::SET_COOKIE;

use super::authorize::APPROVAL;
use super::people::{self, PASSWORD, Person};
use super::saml;
use super::wire::{self, COOKIE_NAME, Form, GONE, Head};
use super::{Base, Org};
use crate::clock::Timestamp;
use crate::http::Response;
use crate::http::path::LocalPath;
use crate::secret;

impl Org {
    /// The sign-in page. Also the org's home, for who is signed in already and has nowhere to go.
    pub(super) fn sign_in_page(&self, base: &Base, head: &Head) -> Response {
        self.note("sign-in page");
        let onward = head.query.get("startURL").and_then(LocalPath::parse);
        let hint = onward.as_ref().and_then(|path| {
            let source = path.as_str().split_once("?source=")?.1;
            self.memory().held(source)?.hint
        });
        let visitor = self.memory().visitor(head.session());
        if let (Some(visitor), None) = (visitor, &onward) {
            return self.pages.home(base, visitor.person);
        }
        let onward = onward.map_or_else(String::new, |path| path.to_string());
        self.pages.sign_in(StatusCode::OK, base, &onward, hint.as_deref().unwrap_or_default(), "")
    }

    /// The sign-in form, by its button for a person or by username and password.
    pub(super) fn sign_in(&self, base: &Base, form: &Form) -> Response {
        self.note("sign-in");
        let onward = form.get("startURL").and_then(LocalPath::parse);
        match recognise(form) {
            Some(person) => self.welcome(base, person, onward),
            None => {
                let onward = onward.map_or_else(String::new, |path| path.to_string());
                let hint = form.get("un").unwrap_or_default();
                let sorry = "Please check your username and password.";
                self.pages.sign_in(StatusCode::OK, base, &onward, hint, sorry)
            }
        }
    }

    /// Signs the browser out here; where it came from learns nothing of it (behaviour 27), unless by SAML's
    /// single logout. The approval page's
    /// "somebody else" goes on to the sign-in page.
    pub(super) fn sign_out(&self, base: &Base, head: &Head, form: &Form, now: Timestamp) -> Response {
        self.note("sign-out");
        self.memory().farewell(head.session());
        let page = match form.get("startURL").and_then(LocalPath::parse) {
            Some(onward) => wire::found(&sign_in_address(base, onward.as_str())),
            None => self.tell_of_leaving(head, now).unwrap_or_else(|| self.pages.signed_out(base)),
        };
        wire::with(page, SET_COOKIE, GONE)
    }

    fn welcome(&self, base: &Base, person: &'static Person, onward: Option<LocalPath>) -> Response {
        let Ok(session) = secret::random_token() else { return wire::html_page(StatusCode::SERVICE_UNAVAILABLE) };
        self.memory().welcome(session.clone(), person);
        let home = format!("{}/", base.path);
        let known = [APPROVAL, saml::RESUME].map(|path| format!("{}{path}", base.path));
        let onward = onward.filter(|path| known.iter().any(|known| path.as_str().starts_with(known)));
        let onward = onward.as_ref().map_or(home.as_str(), LocalPath::as_str);
        let cookie = format!("{COOKIE_NAME}={session}; Path=/; HttpOnly; SameSite=Lax");
        wire::with(wire::found(onward), SET_COOKIE, &cookie)
    }
}

/// The sign-in page, and where to go afterwards.
pub(super) fn sign_in_address(base: &Base, onward: &str) -> String {
    let onward: String = url::form_urlencoded::byte_serialize(onward.as_bytes()).collect();
    format!("{}/?ec=302&startURL={onward}", base.path)
}

fn recognise(form: &Form) -> Option<&'static Person> {
    if let Some(username) = form.get("person") {
        return people::find(username);
    }
    let person = people::find(form.get("un")?)?;
    (form.get("pw") == Some(PASSWORD)).then_some(person)
}
