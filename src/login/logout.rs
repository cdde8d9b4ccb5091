//! Signing out on both sides (SAML profiles section 4.4): what Salesforce sends when it signs somebody out, or has.
//!
//! Only a signed message of the provider gets here at all; a request ends the sessions of whom it names, in every
//! browser, and is answered; an answer to our own request leads to the page that says so. Called by `login`, and by
//! `login::sign_out` for the way there.

use std::time::Duration;

use hyper::Method;

use super::acs::doubted;
use super::{Declined, Entrance, Login, Visitor, faults, set_cookies};
use crate::clock::Timestamp;
use crate::http::origin::Origin;
use crate::http::{Body, Response, answer, see_other};
use crate::identity::saml::logout::{Arrived, Logout, Outcome};
use crate::identity::saml::{self, Parameter};
use crate::identity::{Handle, Provider, Way};
use crate::pages::PostOnward;
use crate::refusal::SamlDoubt;
use crate::session::Session;
use crate::telemetry::Direction;

/// Longer than any logout message is believed.
const REMEMBERED: Duration = Duration::from_secs(900);

/// A request of the provider is its own beginning, an answer belongs to a request of ours.
fn direction_of(parameter: Parameter) -> Direction {
    match parameter {
        Parameter::Request => Direction::Incoming,
        Parameter::Response => Direction::Outgoing,
    }
}

impl Login {
    /// `/saml/logout`, by either binding.
    pub(super) async fn saml_logout(
        &self,
        entrance: &Entrance,
        provider: &saml::Provider,
        body: Body,
        visitor: &Visitor<'_>,
    ) -> Result<Response, Declined> {
        // Whatever is no answer to us counts as a question, even if it is neither.
        let mut direction = Direction::Incoming;
        let followed = self.follow_logout(entrance, provider, body, visitor, &mut direction).await;
        let outcome = followed.as_ref().map_or_else(|declined| declined.refusal.code(), |(_, outcome)| outcome);
        self.metrics.single_logout(&provider.name().0, direction, outcome);
        followed.map(|(response, _)| response)
    }

    /// Does what a message says: the answer, and how it is counted.
    async fn follow_logout(
        &self,
        entrance: &Entrance,
        provider: &saml::Provider,
        body: Body,
        visitor: &Visitor<'_>,
        direction: &mut Direction,
    ) -> Result<(Response, &'static str), Declined> {
        let nothing = || doubted(SamlDoubt::Logout, "there is neither one SAMLRequest nor one SAMLResponse");
        let here = self.logout_address(entrance, visitor.site.origin.as_str());
        let logout = if *visitor.method == Method::POST {
            let fields = self.read_form(body, visitor.headers).await?;
            let (parameter, message) = match (&fields.request, &fields.response) {
                (Some(message), None) => (Parameter::Request, message),
                (None, Some(message)) => (Parameter::Response, message),
                (None, None) | (Some(_), Some(_)) => return Err(nothing().into()),
            };
            *direction = direction_of(parameter);
            let arrived = Arrived::Form { parameter, message, relay_state: fields.relay_state.as_deref() };
            provider.receive(arrived, &here, visitor.now)
        } else {
            let query = visitor.target.query().filter(|query| !query.is_empty()).ok_or_else(nothing)?;
            if query.split('&').any(|pair| pair.starts_with("SAMLResponse=")) {
                *direction = direction_of(Parameter::Response);
            }
            provider.receive(Arrived::Query(query), &here, visitor.now)
        };
        match logout.map_err(faults::refusal)? {
            Logout::Request { id, name_id, session_indexes, relay_state } => {
                let until = visitor.now.after(REMEMBERED);
                let used = |_| doubted(SamlDoubt::Replayed, "a logout request that was used before");
                self.once.claim(&entrance.own(&id), until, visitor.now).map_err(used)?;
                let ended = self.sessions.end_all(provider.name(), &name_id.value, &session_indexes);
                tracing::info!(sessions = ended, provider = %provider.name(), "the provider signed somebody out");
                let way = provider.answer(&id, relay_state.as_deref(), visitor.now).map_err(faults::refusal)?;
                let onward = way.map_or_else(|| self.to_signed_out(), |way| self.onward_after_sign_out(way, visitor));
                Ok((onward, if ended > 0 { "signed_out" } else { "nobody_here" }))
            }
            Logout::Response { outcome, .. } => {
                let outcome = match outcome {
                    Outcome::SignedOut => "signed_out",
                    Outcome::Failed => {
                        tracing::warn!(provider = %provider.name(), "the provider did not sign somebody out");
                        "failed"
                    }
                };
                Ok((self.to_signed_out(), outcome))
            }
        }
    }

    /// `/saml/metadata`: what Salesforce has to know about us.
    pub(super) fn saml_metadata(
        &self,
        entrance: &Entrance,
        provider: &saml::Provider,
        visitor: &Visitor<'_>,
    ) -> Result<Response, Declined> {
        let origins = || self.origins.iter().map(Origin::as_str);
        let callbacks: Vec<String> =
            origins().map(|origin| format!("{origin}{}{}", self.prefix, entrance.paths.answer)).collect();
        let logouts: Vec<String> = origins().map(|origin| self.logout_address(entrance, origin)).collect();
        let metadata = provider.our_metadata(&callbacks, &logouts, visitor.now).map_err(faults::refusal)?;
        Ok(answer(hyper::StatusCode::OK, "application/samlmetadata+xml", metadata))
    }

    /// The way to sign out at the session's own provider too, when that can end it; what keeps somebody from it is
    /// logged, for here they are signed out already.
    pub(super) fn sign_out_there(&self, session: &Session, now: Timestamp) -> Option<Way> {
        let (provider, handle) = self.ends(session)?;
        let count = |outcome| self.metrics.single_logout(&provider.name().0, Direction::Outgoing, outcome);
        match provider.sign_out(handle, now) {
            Ok(way) => {
                if way.is_some() {
                    count("asked");
                }
                way
            }
            Err(fault) => {
                count("cannot_ask");
                tracing::warn!(%fault, provider = %provider.name(), "nobody can be signed out at the provider");
                None
            }
        }
    }

    /// Where the form that signs out may lead, beside this origin.
    pub(super) fn sign_out_leads_to(&self, session: &Session, now: Timestamp) -> Option<String> {
        self.ends(session).and_then(|(provider, _)| provider.sign_out_address(now))
    }

    /// The provider that made a session and knows it by a handle.
    fn ends<'a>(&'a self, session: &'a Session) -> Option<(&'a saml::Provider, &'a Handle)> {
        match &self.entrances.named(&session.provider().0)?.provider {
            Provider::Saml(provider) => Some((provider, session.handle()?)),
            Provider::Oidc(_) => None,
        }
    }

    /// The answer that takes a browser to the provider, to sign out there or to go on there.
    pub(super) fn onward_after_sign_out(&self, way: Way, visitor: &Visitor<'_>) -> Response {
        match way {
            Way::Redirect(location) => see_other(&location),
            Way::Form(form) => {
                let page = PostOnward {
                    title: "You are signed out here",
                    why: "Your session here has ended. One more step signs you out of Salesforce as well.",
                    button: "Go on signing out",
                    action: form.action,
                    fields: form.fields,
                };
                self.pages.post_onward(&page, &self.visit(visitor))
            }
        }
    }

    fn to_signed_out(&self) -> Response {
        let mut response = see_other(&format!("{}/signed-out", self.prefix));
        set_cookies(&mut response, super::loop_breaker::reset(self.cookies, self.attempts.travel()));
        response
    }

    fn logout_address(&self, entrance: &Entrance, origin: &str) -> String {
        format!("{origin}{}{}", self.prefix, entrance.paths.logout.as_deref().unwrap_or_default())
    }
}
