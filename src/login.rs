//! Our own endpoints: start, callback, sign-out, me. And the way to them for who has no session.
//!
//! Everything here answers a person who is not (yet) let through, so each function ends in a response or in a
//! `Declined`, and every cookie that an outcome sets or deletes travels with it. Called by `gateway`.

mod acs;
mod arrival;
mod callback;
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
use crate::identity::Provider;
use crate::pages::{Form, Links, Pages, Visit};
use crate::policy::SignInRules;
use crate::proxy::inject::Injector;
use crate::refusal::Refusal;
use crate::route::Site;
use crate::session::attempt::Attempts;
use crate::session::cookie::Policy;
use crate::session::once::Once;
use crate::session::{Session, SessionKey, Sessions};
use crate::telemetry::Metrics;

pub use kind::{Asker, asker, form, form_of};

/// What signing in and out needs. One for the whole gateway, shared by all cores.
pub struct Login {
    /// Where people sign in.
    pub provider: Provider,
    /// Who may.
    pub rules: SignInRules,
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
    /// `Set-Cookie` lines.
    pub cookies: Vec<HeaderValue>,
}

impl From<Refusal> for Declined {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, return_to: None, cookies: Vec::new() }
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

    /// The addresses that only one protocol has: where the provider sends browsers back to.
    async fn answer_provider(&self, rest: &str, body: Body, visitor: &Visitor<'_>) -> Result<Response, Declined> {
        let method = visitor.method;
        match (&self.provider, rest) {
            (Provider::Oidc(provider), "/callback") => {
                require(method, &[Method::GET], "GET")?;
                self.callback(provider, visitor).await
            }
            (Provider::Saml(provider), "/saml/acs") => {
                require(method, &[Method::POST], "POST")?;
                self.acs(provider, body, visitor).await
            }
            (Provider::Saml(provider), "/saml/logout") => {
                require(method, &[Method::GET, Method::POST], "GET, POST")?;
                self.saml_logout(provider, body, visitor).await
            }
            (Provider::Saml(provider), "/saml/metadata") => {
                require(method, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                self.saml_metadata(provider, visitor)
            }
            _ => Err(Refusal::UnknownPage.into()),
        }
    }

    /// The page, or the JSON, of a refusal.
    pub fn decline(&self, declined: Declined, form: Form, visitor: &Visitor<'_>) -> Response {
        let links = self.links(visitor, declined.return_to.as_ref());
        let mut response = self.pages.refusal(&declined.refusal, form, &self.visit(visitor), &links);
        set_cookies(&mut response, declined.cookies);
        response
    }

    fn visit<'a>(&self, visitor: &'a Visitor<'_>) -> Visit<'a> {
        Visit { request_id: visitor.request_id, host: visitor.site.origin.authority(), now: visitor.now }
    }

    /// The ways onward from a page; `return_to` is where the person wanted to go.
    fn links(&self, visitor: &Visitor<'_>, return_to: Option<&LocalPath>) -> Links {
        let again = self.wanted(visitor);
        let start = format!("{}{}/start", visitor.site.origin, self.prefix);
        let sign_in = match return_to.or(again.as_ref()) {
            Some(path) => {
                let query: String = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("return_to", path.as_str())
                    .finish();
                format!("{start}?{query}")
            }
            None => start,
        };
        let home = "/".to_owned();
        Links { sign_in, again: again.map_or_else(|| home.clone(), |path| path.to_string()), home }
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
