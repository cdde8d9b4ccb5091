//! The pages people see: refusals, signing out, and who am I. Escaping lives here, and nowhere else.
//!
//! No scripts, no images, nothing from elsewhere: one stylesheet, admitted by its own hash (CSP level 3), so
//! that a page of ours is safe even with an app's origin around it. Templates are compiled at the start, so a
//! broken one stops the start and not a visitor. RFC 9700 sections 4.2 and 4.16 ask for the referrer and framing
//! headers. Called by `gateway` and `login`.

mod choice;
mod headers;
mod me;

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::clock::Timestamp;
use crate::http::{Response, answer, json, text};
use crate::refusal::{Onward, Refusal, Words};
pub use choice::{Choice, WayIn};
use headers::{Forms, Guard, Referrer};
pub use me::Me;

/// The pages, ready to be filled in.
pub struct Pages {
    templates: Environment<'static>,
    style: Value,
    guard: Guard,
}

/// A template that cannot be compiled: a mistake of ours, found before the first visitor.
#[derive(Debug, thiserror::Error)]
#[error("a page cannot be made: {0}")]
pub struct BrokenTemplate(#[from] minijinja::Error);

/// Whether a person or a program reads the answer. The caller decides, by what the request accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// HTML.
    Page,
    /// JSON.
    Json,
}

/// The request that a page answers.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// Its id, as in the log.
    pub request_id: &'a str,
    /// The host that the page belongs to, as configured and never as sent: shown at the top.
    pub host: &'a str,
    /// When.
    pub now: Timestamp,
}

/// Where a visitor can go from here. Each is a path on this host, or an `https://` or `http://` address;
/// anything else is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Starts a sign-in that comes back to where the visitor wanted to go. Programs get it too, so an absolute
    /// address is best.
    pub sign_in: String,
    /// The same, where the provider asks who it is even if it knows.
    pub another: String,
    /// The same page again.
    pub again: String,
    /// The choice between the ways to sign in, where the visitor had made one.
    pub others: Option<String>,
    /// The app's start page.
    pub home: String,
}

/// The page that asks before signing out.
#[derive(Clone, Debug, Serialize)]
pub struct SignOut {
    /// Who is signed in: a name or username.
    pub who: String,
    /// The path that the form is posted to.
    pub action: String,
    /// The app's start page.
    pub home: String,
    /// Where the answer to the form may lead on to, when signing out goes on at the provider.
    #[serde(skip)]
    pub onward: Option<String>,
}

/// The page whose one button posts a form to another site: our pages have no script that could press it.
#[derive(Clone, Debug, Serialize)]
pub struct PostOnward {
    /// The headline.
    pub title: &'static str,
    /// Why.
    pub why: &'static str,
    /// What the button says.
    pub button: &'static str,
    /// The absolute address that the form is posted to.
    pub action: String,
    /// Hidden fields.
    pub fields: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct RefusalPage<'a> {
    code: &'a str,
    status: u16,
    tone: &'static str,
    title: &'a str,
    happened: &'a str,
    you: &'a str,
    administrator: &'a str,
    link: Option<&'a str>,
    label: &'static str,
    others: Option<&'a str>,
    request_id: &'a str,
    time: Moment,
}

/// A moment, for machines and for people.
#[derive(Serialize)]
struct Moment {
    machine: String,
    people: String,
}

impl From<Timestamp> for Moment {
    fn from(moment: Timestamp) -> Self {
        let moment = i64::try_from(moment.0).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        let moment = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let people = format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute]:[second] UTC");
        Self { machine: moment.format(&Rfc3339).unwrap_or_default(), people: moment.format(people).unwrap_or_default() }
    }
}

impl Pages {
    /// Compiles the templates.
    ///
    /// # Errors
    /// [`BrokenTemplate`] when one of them cannot be compiled.
    pub fn new() -> Result<Self, BrokenTemplate> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.add_template("layout.html", include_str!("pages/layout.html"))?;
        templates.add_template("choice.html", include_str!("pages/choice.html"))?;
        templates.add_template("refusal.html", include_str!("pages/refusal.html"))?;
        templates.add_template("sign_out.html", include_str!("pages/sign_out.html"))?;
        templates.add_template("onward.html", include_str!("pages/onward.html"))?;
        templates.add_template("signed_out.html", include_str!("pages/signed_out.html"))?;
        templates.add_template("me.html", include_str!("pages/me.html"))?;
        let style = include_str!("pages/style.css");
        Ok(Self { templates, style: Value::from_safe_string(style.to_owned()), guard: Guard::new(style) })
    }

    /// The answer to a request that was declined, with the headers that its status calls for.
    pub fn refusal(&self, refusal: &Refusal, form: Form, visit: &Visit<'_>, links: &Links) -> Response {
        let words = refusal.words();
        let mut response = match form {
            Form::Page => self.refusal_page(refusal, &words, visit, links),
            Form::Json => refusal_json(refusal, &words, visit, links),
        };
        let headers = response.headers_mut();
        if let Refusal::MethodNotAllowed { allow } = refusal {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if refusal.status() == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, headers::challenge(&links.sign_in));
        }
        if refusal.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }

    /// The page with the button that signs out.
    pub fn sign_out(&self, page: &SignOut, visit: &Visit<'_>) -> Response {
        let page = SignOut { home: local(&page.home).unwrap_or("/").to_owned(), ..page.clone() };
        let mut response = self.page(StatusCode::OK, "Sign out", "sign_out.html", &page, visit, Referrer::SameOrigin);
        if let Some(onward) = &page.onward {
            self.guard.protect(&mut response, Referrer::SameOrigin, Forms::And(onward));
        }
        response
    }

    /// The page with the button that posts a form to another site.
    pub fn post_onward(&self, page: &PostOnward, visit: &Visit<'_>) -> Response {
        let page = PostOnward { action: local(&page.action).unwrap_or("/").to_owned(), ..page.clone() };
        let mut response = self.page(StatusCode::OK, page.title, "onward.html", &page, visit, Referrer::SameOrigin);
        self.guard.protect(&mut response, Referrer::SameOrigin, Forms::And(&page.action));
        response
    }

    /// The page after signing out. It offers a link and never signs in by itself.
    pub fn signed_out(&self, visit: &Visit<'_>, links: &Links) -> Response {
        let page = minijinja::context! { sign_in => local(&links.sign_in) };
        self.page(StatusCode::OK, "You are signed out", "signed_out.html", &page, visit, Referrer::None)
    }

    fn refusal_page(&self, refusal: &Refusal, words: &Words, visit: &Visit<'_>, links: &Links) -> Response {
        let (link, label) = match refusal.onward() {
            Onward::SignIn if *refusal == Refusal::SignInRequired => (local(&links.sign_in), "Sign in"),
            Onward::SignIn => (local(&links.sign_in), "Sign in again"),
            Onward::SignInAsAnother => (local(&links.another), "Sign in as somebody else"),
            Onward::TryAgain => (local(&links.again), "Try again"),
            Onward::Home => (local(&links.home), "Go to the start page"),
            Onward::Nothing => (None, ""),
        };
        let status = refusal.status();
        let tone = match status {
            StatusCode::UNAUTHORIZED => "key",
            StatusCode::FORBIDDEN => "gate",
            _ if status.is_server_error() => "outage",
            _ => "note",
        };
        let page = RefusalPage {
            code: refusal.code(),
            status: status.as_u16(),
            tone,
            title: words.title,
            happened: &words.happened,
            you: words.you,
            administrator: &words.administrator,
            link,
            label,
            others: links.others.as_deref().and_then(local),
            request_id: visit.request_id,
            time: visit.now.into(),
        };
        self.page(status, words.title, "refusal.html", &page, visit, Referrer::None)
    }

    fn page(
        &self,
        status: StatusCode,
        title: &str,
        template: &str,
        page: &impl Serialize,
        visit: &Visit<'_>,
        referrer: Referrer,
    ) -> Response {
        let mut response = match self.render(title, template, page, visit) {
            Ok(html) => answer(status, "text/html; charset=utf-8", html),
            Err(problem) => {
                tracing::error!(%problem, template, request_id = visit.request_id, "a page could not be filled in");
                text(status, format!("{title}\n\nRequest {}\n", visit.request_id))
            }
        };
        self.guard.protect(&mut response, referrer, Forms::Here);
        response
    }

    fn render(
        &self,
        title: &str,
        template: &str,
        page: &impl Serialize,
        visit: &Visit<'_>,
    ) -> Result<String, minijinja::Error> {
        let body = Value::from_safe_string(self.templates.get_template(template)?.render(Serde(page))?);
        let layout = minijinja::context! { title, host => visit.host, style => self.style.clone(), body };
        self.templates.get_template("layout.html")?.render(layout)
    }
}

/// `link`, when it cannot run a script: a path of this host, or an address with a scheme of the web.
fn local(link: &str) -> Option<&str> {
    let path = link.starts_with('/') && !link.starts_with("//") && !link.contains('\\');
    (path || link.starts_with("https://") || link.starts_with("http://")).then_some(link)
}

fn refusal_json(refusal: &Refusal, words: &Words, visit: &Visit<'_>, links: &Links) -> Response {
    let mut body = serde_json::json!({
        "error": refusal.code(),
        "title": words.title,
        "message": words.happened,
        "what_you_can_do": words.you,
        "administrator": words.administrator,
        "request_id": visit.request_id,
        "time": Moment::from(visit.now).machine,
    });
    let sign_in = match refusal.onward() {
        Onward::SignIn => local(&links.sign_in),
        Onward::SignInAsAnother => local(&links.another),
        Onward::TryAgain | Onward::Home | Onward::Nothing => None,
    };
    if let Some(sign_in) = sign_in {
        body["sign_in"] = sign_in.into();
    }
    bare(json(refusal.status(), &body))
}

/// A JSON answer that no browser will take for a page.
fn bare(mut response: Response) -> Response {
    headers::no_sniffing(response.headers_mut());
    response
}

#[cfg(test)]
mod tests;
