//! The pretend org as a SAML identity provider (salesforce.md section 6, behaviours 28 to 30).
//!
//! A request comes by either binding, waits under an opaque `source` while its person signs in on the very page that
//! OpenID Connect uses, and is answered by a form that posts itself to the app's ACS URL. What goes wrong is shown
//! here and never told to the app. Facts are gathered (`message`), spoiled (`spoil`), signed (`seal`) and tampered
//! with (`tamper`), in this order. Called by the emulator's dispatch.

pub mod app;
pub mod event;
mod identity;
mod logout;
mod memory;
mod message;
mod metadata;
pub mod mischief;
mod request;
mod seal;
mod spoil;
mod tamper;
#[cfg(test)]
mod tests;
mod wrap;

use std::sync::MutexGuard;

use hyper::Method;

pub use app::SamlApp;
pub use event::Event;
pub use identity::SamlKeys;
pub(super) use memory::SamlMemory;
pub use memory::Sent;
pub use mischief::{SamlMischief, Touches};

use super::mischief::Mischief;
use super::people::{Account, AppAccess, HOME_ORGANIZATION, Person};
use super::settings::{App, Permitted};
use super::signin::sign_in_address;
use super::wire::{self, Form, Head};
use super::{Base, BaseKind, Org, lock, people};
use crate::clock::Timestamp;
use crate::http::Response;
use crate::secret;
use memory::{Arriving, SamlSession, Waiting};
use request::{AuthnRequest, Force, Letter};
use seal::Signer;

/// Where `AuthnRequest`s come by redirect.
pub const HTTP_REDIRECT: &str = "/idp/endpoint/HttpRedirect";
/// Where they come by post.
pub const HTTP_POST: &str = "/idp/endpoint/HttpPost";
/// Where a sign-in begins that no app asked for.
pub const IDP_LOGIN: &str = "/idp/login";
/// Where logout messages come, by either binding.
pub const LOGOUT: &str = "/services/auth/idp/saml2/logout";
/// The metadata.
pub const METADATA: &str = "/.well-known/samlidp.xml";
/// Where a browser goes on after signing in; the address is our own, Salesforce's is not known.
pub(super) const RESUME: &str = "/idp/resume";

impl Org {
    /// Answers what is SAML's; nothing when the path is not, or the host is the one that all orgs share.
    pub(super) fn saml_endpoint(
        &self,
        base: &Base,
        path: &str,
        head: &Head,
        form: &Form,
        now: Timestamp,
    ) -> Option<Response> {
        if base.kind == BaseKind::Login {
            return None;
        }
        let outcome = match path {
            METADATA => return Some(self.saml_metadata(now)),
            LOGOUT => return Some(self.saml_logout(base, head, form, now)),
            HTTP_REDIRECT => self.hear(base, path, Letter::from_query(head, "SAMLRequest")),
            HTTP_POST if head.method == Method::POST => self.hear(base, path, Letter::from_form(form, "SAMLRequest")),
            IDP_LOGIN => self.begin_here(base, head),
            RESUME => self.resume(base, head, now),
            _ => return None,
        };
        Some(outcome.unwrap_or_else(|event| self.show_event(base, event)))
    }

    fn hear(&self, base: &Base, path: &str, letter: Option<Letter>) -> Result<Response, Event> {
        self.note("saml-request");
        let letter = letter.ok_or(Event::InvalidAuthnRequest)?;
        self.saml().keep_request(letter.xml.clone());
        let request = request::read_authn_request(&letter, &self.app().saml, &format!("{}{path}", base.url))?;
        self.await_person(base, Some(request), letter.relay_state)
    }

    // behaviour 30: a link at the org, by the app's id or its name
    fn begin_here(&self, base: &Base, head: &Head) -> Result<Response, Event> {
        self.note("saml-idp-login");
        let app = self.app().saml;
        let named = head.query.get("app") == Some(&app.id) || head.query.get("apiName") == Some(&app.api_name);
        if !named || app.entity_id.is_empty() {
            return Err(Event::InvalidServiceProvider);
        }
        self.await_person(base, None, head.query.get("RelayState").map(str::to_owned))
    }

    fn await_person(
        &self,
        base: &Base,
        request: Option<AuthnRequest>,
        relay_state: Option<String>,
    ) -> Result<Response, Event> {
        let serial = self.memory().next_serial();
        let source = self.hold_saml(Waiting::SignIn(Arriving { serial, request, relay_state }))?;
        // a form from another site comes without our cookie; the address after it comes with it
        Ok(wire::found(&format!("{}{RESUME}?source={source}", base.path)))
    }

    fn hold_saml(&self, waiting: Waiting) -> Result<String, Event> {
        let source = secret::random_token().map_err(|_| Event::Internal)?;
        self.saml().hold(source.clone(), waiting);
        Ok(source)
    }

    fn resume(&self, base: &Base, head: &Head, now: Timestamp) -> Result<Response, Event> {
        let source = head.query.get("source").unwrap_or_default();
        let Some(Waiting::SignIn(arriving)) = self.saml().held(source) else {
            return Err(Event::InvalidAuthnRequest);
        };
        let forced = arriving.request.as_ref().is_some_and(|request| request.force == Force::Yes);
        let visitor = self.memory().visitor(head.session());
        let settled = visitor.filter(|visitor| !forced || visitor.serial > arriving.serial);
        let Some(visitor) = settled else {
            if visitor.is_some() {
                self.saml().log(Event::ForcedAgain);
                self.memory().farewell(head.session());
            }
            return Ok(wire::found(&sign_in_address(base, &format!("{}{RESUME}?source={source}", base.path))));
        };
        self.saml().take(source);
        self.answer_saml(head, visitor.person, &arriving, now)
    }

    fn answer_saml(
        &self,
        head: &Head,
        person: &'static Person,
        arriving: &Arriving,
        now: Timestamp,
    ) -> Result<Response, Event> {
        let app = self.app();
        admit(&app, person)?;
        let (app, mischief) = (app.saml, self.saml_mischief());
        if app.encryption.is_none() && mischief.is_some_and(|mischief| mischief.touches() == Touches::Encryption) {
            return Err(Event::InvalidSettings);
        }
        let request = arriving.request.as_ref().map(|request| request.id.as_str());
        let moment = message::moment(now).map_err(|_| Event::Internal)?;
        let colleague = colleague_of(person);
        let mut message = message::truth(&app, person, &self.instance, request, moment)?;
        let evil = message::truth(&app, colleague, &self.instance, request, moment)?;
        if let Some(mischief) = mischief {
            spoil::spoil(&mut message, mischief, person, colleague);
        }
        let session = message.assertion.session_index.clone().zip(message.assertion.name_id.clone());
        if let Some((index, name_id)) = session {
            self.saml().begin_session(head.session(), SamlSession { name_id, index });
        }
        let sealed =
            Signer::new(self.keys.saml(), &app, mischief).seal(&message, &app).ok_or(Event::InvalidSettings)?;
        let responses = tamper::deliver(sealed, &message, &evil, mischief);
        let fields = spoil::form(responses, arriving.relay_state.as_deref(), mischief);
        self.saml().log(Event::Success);
        self.note("saml-response");
        Ok(self.post(&app.acs_url, fields))
    }

    fn post(&self, action: &str, fields: Vec<(&'static str, String)>) -> Response {
        let page = self.pages.post(action, &fields);
        self.saml().keep_sent(Sent { action: action.to_owned(), fields });
        page
    }

    // behaviour 30: shown here, and the app is not told
    fn show_event(&self, base: &Base, event: Event) -> Response {
        self.saml().log(event);
        self.pages.event(base, event)
    }

    pub(super) fn saml(&self) -> MutexGuard<'_, SamlMemory> {
        lock(&self.saml)
    }

    fn saml_mischief(&self) -> Option<SamlMischief> {
        match self.mischief() {
            Some(Mischief::Saml(mischief)) => Some(mischief),
            _ => None,
        }
    }
}

/// Who may have a Response at all. A real My Domain has no people of other orgs.
fn admit(app: &App, person: &Person) -> Result<(), Event> {
    if person.account == Account::Inactive || person.organization != HOME_ORGANIZATION {
        return Err(Event::Unresolvable);
    }
    if app.permitted == Permitted::AdminApproved && person.access == AppAccess::NotApproved {
        return Err(Event::AppAccessDenied);
    }
    Ok(())
}

/// Whom somebody with a forged message would like to be.
fn colleague_of(person: &Person) -> &'static Person {
    if *person == people::ADMINISTRATOR { &people::STANDARD } else { &people::ADMINISTRATOR }
}
