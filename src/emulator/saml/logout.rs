//! Single logout, in both directions (salesforce.md 6.6).
//!
//! A service provider sends a `LogoutRequest` and is answered; the org sends one when a person signs out there.
//! Messages by redirect are signed in the query, by post in the XML. Called by the emulator's dispatch and by
//! `signin`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::SET_COOKIE;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::LOGOUT;
use super::app::{Binding, SamlApp, SingleLogout};
use super::event::Event;
use super::memory::{Leaving, Waiting};
use super::message::{Moment, SUCCESS, attribute, element, fresh_id, issuer, moment};
use super::mischief::SamlMischief;
use super::request::{Letter, read_logout_request, read_logout_response};
use super::seal::Signer;
use super::tamper::deflate;
use crate::clock::Timestamp;
use crate::emulator::idtoken::ELSEWHERE;
use crate::emulator::wire::{self, Form, GONE, Head};
use crate::emulator::{Base, Org};
use crate::http::Response;
use crate::identity::xmldsig::{ASSERTION, PROTOCOL};

const HOUR: i64 = 3600;
const LIFE: i64 = 300;
const SIGNED_WITH: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";

/// A message that goes to the service provider's logout address.
struct Outgoing<'m> {
    parameter: &'static str,
    root: &'static str,
    more: String,
    content: String,
    relay_state: Option<&'m str>,
}

impl Org {
    /// `/services/auth/idp/saml2/logout`.
    pub(super) fn saml_logout(&self, base: &Base, head: &Head, form: &Form, now: Timestamp) -> Response {
        self.note("saml-logout");
        let outcome = self.hear_logout(base, head, form, now);
        outcome.unwrap_or_else(|event| self.show_event(base, event))
    }

    fn hear_logout(&self, base: &Base, head: &Head, form: &Form, now: Timestamp) -> Result<Response, Event> {
        let app = self.app().saml;
        let logout = app.single_logout.clone().ok_or(Event::InvalidSettings)?;
        if let Some(source) = head.query.get("source") {
            let Some(Waiting::SignOut(leaving)) = self.saml().take(source) else {
                return Ok(self.pages.signed_out(base));
            };
            return self.let_leave(head, &app, &logout, &leaving, now);
        }
        let endpoint = format!("{}{LOGOUT}", base.url);
        let letter = |name| match head.method {
            Method::POST => Letter::from_form(form, name),
            _ => Letter::from_query(head, name),
        };
        if let Some(answer) = letter("SAMLResponse") {
            let request = read_logout_response(&answer, &app, &endpoint)?;
            if !request.is_some_and(|request| self.saml().answered(&request)) {
                return Err(Event::InvalidAuthnRequest);
            }
            self.note("saml-logout-answered");
            return Ok(self.pages.signed_out(base));
        }
        let letter = letter("SAMLRequest").ok_or(Event::InvalidAuthnRequest)?;
        let request = read_logout_request(&letter, &app, &endpoint)?;
        // a form from another site comes without our cookie; the address after it comes with it
        let leaving = Leaving { request: request.id, name_id: request.name_id, relay_state: letter.relay_state };
        let source = self.hold_saml(Waiting::SignOut(leaving))?;
        Ok(wire::found(&format!("{}{LOGOUT}?source={source}", base.path)))
    }

    fn let_leave(
        &self,
        head: &Head,
        app: &SamlApp,
        logout: &SingleLogout,
        leaving: &Leaving,
        now: Timestamp,
    ) -> Result<Response, Event> {
        let session = self.saml().session(head.session());
        if session.is_some_and(|session| session.name_id != leaving.name_id) {
            return Err(Event::Unresolvable);
        }
        self.saml().end_session(head.session());
        self.memory().farewell(head.session());
        let answer = Outgoing {
            parameter: "SAMLResponse",
            root: "LogoutResponse",
            more: attribute("InResponseTo", Some(&leaving.request)),
            content: format!("<samlp:Status><samlp:StatusCode Value=\"{SUCCESS}\"/></samlp:Status>"),
            relay_state: leaving.relay_state.as_deref(),
        };
        let (response, _) = self.send(app, logout, &answer, now)?;
        Ok(wire::with(response, SET_COOKIE, GONE))
    }

    /// Tells the service provider that this browser's person leaves; nothing when there is nobody to tell.
    pub(in crate::emulator) fn tell_of_leaving(&self, head: &Head, now: Timestamp) -> Option<Response> {
        let app = self.app().saml;
        let logout = app.single_logout.as_ref()?;
        let session = self.saml().session(head.session())?;
        self.saml().end_session(head.session());
        let late = self.saml_mischief() == Some(SamlMischief::LogoutExpired);
        let until = Moment::at(now, 0).plus(if late { -HOUR } else { LIFE });
        let name_id =
            element("saml:NameID", &attribute("Format", Some(app.name_id_format.address())), &session.name_id);
        let request = Outgoing {
            parameter: "SAMLRequest",
            root: "LogoutRequest",
            more: attribute("NotOnOrAfter", Some(&until.text())),
            content: format!("{name_id}{}", element("samlp:SessionIndex", "", &session.index)),
            relay_state: None,
        };
        let (response, id) = self.send(&app, logout, &request, now).ok()?;
        self.saml().asked(id);
        self.note("saml-logout-sent");
        Some(response)
    }

    fn send(
        &self,
        app: &SamlApp,
        logout: &SingleLogout,
        message: &Outgoing<'_>,
        now: Timestamp,
    ) -> Result<(Response, String), Event> {
        let mischief = self.saml_mischief();
        let now = moment(now).map_err(|_| Event::Internal)?;
        let id = fresh_id(now).map_err(|_| Event::Internal)?;
        let issued = if mischief == Some(SamlMischief::LogoutExpired) { now.plus(-HOUR) } else { now };
        let destination = match mischief {
            Some(SamlMischief::LogoutWrongDestination) => &format!("{ELSEWHERE}/logout"),
            _ => &logout.url,
        };
        let from = if mischief == Some(SamlMischief::LogoutWrongIssuer) { ELSEWHERE } else { &self.instance };
        let xml = format!(
            "<samlp:{root} xmlns:samlp=\"{PROTOCOL}\" xmlns:saml=\"{ASSERTION}\"{}{}{}{} Version=\"2.0\">{}{}\
             </samlp:{root}>",
            attribute("Destination", Some(destination)),
            attribute("ID", Some(&id)),
            attribute("IssueInstant", Some(&issued.text())),
            message.more,
            issuer(Some(from), ""),
            message.content,
            root = message.root,
        );
        let keys = self.keys.saml();
        let signer = Signer::new(keys, app, mischief);
        let unsigned = mischief == Some(SamlMischief::LogoutUnsigned);
        let response = match logout.binding {
            Binding::Post => {
                let xml = if unsigned { Some(xml) } else { signer.sign(&xml, &id, "") };
                let mut fields = vec![(message.parameter, STANDARD.encode(xml.ok_or(Event::Internal)?))];
                fields.extend(message.relay_state.map(|state| ("RelayState", state.to_owned())));
                self.post(&logout.url, fields)
            }
            Binding::Redirect => {
                let signer = (!unsigned).then_some(&signer);
                let query = query(message.parameter, &xml, message.relay_state, signer).ok_or(Event::Internal)?;
                let joint = if logout.url.contains('?') { '&' } else { '?' };
                wire::found(&format!("{}{joint}{query}", logout.url))
            }
        };
        Ok((response, id))
    }
}

fn query(parameter: &str, xml: &str, relay_state: Option<&str>, signer: Option<&Signer<'_>>) -> Option<String> {
    let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut query = format!("{parameter}={}", escape(&STANDARD.encode(deflate(xml)?)));
    if let Some(state) = relay_state {
        query = format!("{query}&RelayState={}", escape(state));
    }
    let Some(signer) = signer else { return Some(query) };
    query = format!("{query}&SigAlg={}", escape(SIGNED_WITH));
    let signature = signer.pair().key.sign(query.as_bytes())?;
    Some(format!("{query}&Signature={}", escape(&STANDARD.encode(signature))))
}
