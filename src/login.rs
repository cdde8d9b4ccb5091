//! Our own endpoints: start, callback, sign-out, me. And the way to them for who has no session.
//!
//! Everything here answers a person who is not (yet) let through, so each function ends in a response or in a
//! `Declined`, and every cookie that an outcome sets or deletes travels with it. Called by `gateway`.

mod acs;
mod arrival;
mod callback;
mod choice;
mod entrance;
mod faults;
mod kind;
mod logout;
mod loop_breaker;
mod me;
mod sign_out;
mod start;

use std::sync::Arc;

use hyper::header::{HeaderValue, SET_COOKIE};
use hyper::{HeaderMap, Method};

use crate::clock::Timestamp;
use crate::http::origin::Origin;
use crate::http::path::LocalPath;
use crate::http::target::Target;
use crate::http::{Body, Response};
use crate::identity::{Account, Provider, ProviderName};
use crate::pages::{Form, Links, Pages, Visit};
use crate::proxy::inject::Injector;
use crate::refusal::Refusal;
use crate::route::Site;
use crate::session::attempt::Attempts;
use crate::session::cookie::Policy;
use crate::session::once::Once;
use crate::session::{Session, SessionKey, Sessions};
use crate::telemetry::Metrics;

use entrance::Arrival;
pub use entrance::{Entrance, Entrances};
pub use kind::{Asker, asker, form, form_of};

/// The `account` of a link for who wants to be somebody else.
const ANOTHER: &str = "another";

/// What signing in and out needs. One for the whole gateway, shared by all cores.
pub struct Login {
    /// Where people sign in, and who may.
    pub entrances: Entrances,
    /// Who has.
    pub sessions: Sessions,
    /// Who is about to.
    pub attempts: Attempts,
    /// What was used and may not be again.
    pub once: Once,
    /// The public addresses, the first first.
    pub origins: Vec<Origin>,
    /// What they see.
    pub pages: Pages,
    /// What the app will be told.
    pub injector: Injector,
    /// The cookies' names and flags.
    pub cookies: Policy,
    /// `/.portcullis`.
    pub prefix: String,
    /// The largest body read, in bytes.
    pub body_limit: usize,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// One request, as far as login cares.
pub struct Visitor<'a> {
    /// The site that it came to.
    pub site: &'a Site,
    /// Its method.
    pub method: &'a Method,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its target.
    pub target: &'a Target,
    /// The session that its cookie named, if it lives.
    pub session: Option<(SessionKey, Arc<Session>)>,
    /// Its name in the log.
    pub request_id: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// A request that was declined, and what goes with the page.
#[derive(Debug)]
pub struct Declined {
    /// Why.
    pub refusal: Refusal,
    /// Where the person wanted to go, for the way onward.
    pub return_to: Option<LocalPath>,
    /// By which provider they were about to sign in.
    pub provider: Option<ProviderName>,
    /// `Set-Cookie` lines.
    pub cookies: Vec<HeaderValue>,
}

impl From<Refusal> for Declined {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, return_to: None, provider: None, cookies: Vec::new() }
    }
}

impl Login {
    /// Answers a request for one of our own endpoints: `rest` is the path after the prefix.
    ///
    /// # Errors
    /// [`Declined`], with the refusal to show.
    pub async fn answer(&self, rest: &str, body: Body, visitor: &Visitor<'_>) -> Result<Response, Declined> {
        let method = visitor.method;
        match rest {
            "/start" => {
                require(method, &[Method::GET], "GET")?;
                self.start_again(visitor).await
            }
            "/sign-out" => {
                require(method, &[Method::GET, Method::HEAD, Method::POST], "GET, HEAD, POST")?;
                if *method == Method::POST {
                    self.sign_out(body, visitor).await
                } else {
                    Ok(self.sign_out_page(visitor))
                }
            }
            "/signed-out" => {
                require(method, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                Ok(self.pages.signed_out(&self.visit(visitor), &self.links(visitor, None)))
            }
            "/me" => {
                require(method, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                self.me(visitor)
            }
            _ => self.answer_provider(rest, body, visitor).await,
        }
    }

    /// The addresses that providers send browsers back to.
    async fn answer_provider(&self, rest: &str, body: Body, visitor: &Visitor<'_>) -> Result<Response, Declined> {
        let method = visitor.method;
        let Some((entrance, arrival)) = self.entrances.at(rest) else { return Err(Refusal::UnknownPage.into()) };
        match (&entrance.provider, arrival) {
            (Provider::Oidc(provider), Arrival::Answer) => {
                require(method, &[Method::GET], "GET")?;
                self.callback(entrance, provider, visitor).await
            }
            (Provider::Saml(provider), Arrival::Answer) => {
                require(method, &[Method::POST], "POST")?;
                self.acs(entrance, provider, body, visitor).await
            }
            (Provider::Saml(provider), Arrival::Logout) => {
                require(method, &[Method::GET, Method::POST], "GET, POST")?;
                self.saml_logout(entrance, provider, body, visitor).await
            }
            (Provider::Saml(provider), Arrival::Metadata) => {
                require(method, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                self.saml_metadata(entrance, provider, visitor)
            }
            (Provider::Oidc(_), Arrival::Logout | Arrival::Metadata) => Err(Refusal::UnknownPage.into()),
        }
    }

    /// The page, or the JSON, of a refusal.
    pub fn decline(&self, declined: Declined, form: Form, visitor: &Visitor<'_>) -> Response {
        let links = self.links(visitor, Some(&declined));
        let mut response = self.pages.refusal(&declined.refusal, form, &self.visit(visitor), &links);
        set_cookies(&mut response, declined.cookies);
        response
    }

    fn visit<'a>(&self, visitor: &'a Visitor<'_>) -> Visit<'a> {
        Visit { request_id: visitor.request_id, host: visitor.site.origin.authority(), now: visitor.now }
    }

    /// The ways onward from a page, which may say why somebody was declined.
    fn links(&self, visitor: &Visitor<'_>, declined: Option<&Declined>) -> Links {
        let again = self.wanted(visitor);
        let return_to = declined.and_then(|declined| declined.return_to.as_ref()).or(again.as_ref());
        let start_as =
            |account, provider| format!("{}{}", visitor.site.origin, self.start_path(provider, account, return_to));
        let start = |provider| start_as(Account::Any, provider);
        let home = "/".to_owned();
        // Where there is no choice, no link has to remember one.
        let provider = declined.and_then(|declined| declined.provider.as_ref());
        match provider.filter(|_| self.entrances.only().is_none()) {
            Some(provider) => {
                let sign_in = start(Some(provider));
                let another = start_as(Account::Another, Some(provider));
                Links { again: sign_in.clone(), sign_in, another, others: Some(start(None)), home }
            }
            None => Links {
                sign_in: start(None),
                another: start_as(Account::Another, None),
                again: again.as_ref().map_or_else(|| home.clone(), LocalPath::to_string),
                others: None,
                home,
            },
        }
    }

    /// The path that begins a sign-in: by one provider, or by one that people still have to choose.
    fn start_path(&self, provider: Option<&ProviderName>, account: Account, return_to: Option<&LocalPath>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let parameters = [
            ("provider", provider.map(|name| name.0.as_str())),
            ("account", (account == Account::Another).then_some(ANOTHER)),
            ("return_to", return_to.map(LocalPath::as_str)),
        ];
        for (name, value) in parameters {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}/start{mark}{query}", self.prefix)
    }

    /// Where this request wanted to go, when that is a page of the app.
    fn wanted(&self, visitor: &Visitor<'_>) -> Option<LocalPath> {
        let target = visitor.target;
        if target.path().starts_with(&self.prefix) || *visitor.method != Method::GET {
            return None;
        }
        LocalPath::parse(target.path_and_query().as_str())
    }
}

fn require(method: &Method, allowed: &[Method], allow: &'static str) -> Result<(), Declined> {
    if allowed.contains(method) { Ok(()) } else { Err(Refusal::MethodNotAllowed { allow }.into()) }
}

fn set_cookies(response: &mut Response, lines: impl IntoIterator<Item = HeaderValue>) {
    for line in lines {
        response.headers_mut().append(SET_COOKIE, line);
    }
}
