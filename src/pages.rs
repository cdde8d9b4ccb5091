//! The pages people see: refusals, signing out, and who am I. Escaping lives here, and nowhere else.
//!
//! No scripts, no images, nothing from elsewhere: one stylesheet, admitted by its own hash (CSP level 3), so
//! that a page of ours is safe even with an app's origin around it. Templates are compiled at the start, so a
//! broken one stops the start and not a visitor. RFC 9700 sections 4.2 and 4.16 ask for the referrer and framing
//! headers. Called by `gateway` and `login`.

mod choice;
mod headers;

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

/// The page that says who is signed in, and what the app sees.
#[derive(Clone, Debug)]
pub struct Me {
    /// For people to read.
    pub name: Option<String>,
    /// `preferred_username`.
    pub username: String,
    /// E-mail address.
    pub email: Option<String>,
    /// The user's id, 18 characters.
    pub user_id: String,
    /// The organization's id, 18 characters.
    pub organization_id: String,
    /// Such as `STANDARD`.
    pub user_type: Option<String>,
    /// The provider's name in the configuration.
    pub provider: String,
    /// What people call it.
    pub signed_in_by: String,
    /// When the session began.
    pub since: Timestamp,
    /// When it ends without further use.
    pub idle_until: Timestamp,
    /// When it ends in any case.
    pub until: Timestamp,
    /// The identity headers that the app receives, as they are sent.
    pub headers: Vec<(String, String)>,
    /// The path of the page that signs out.
    pub sign_out: String,
    /// The app's start page.
    pub home: String,
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

#[derive(Serialize)]
struct MePage<'a> {
    heading: &'a str,
    initial: String,
    name: Option<&'a str>,
    username: &'a str,
    email: Option<&'a str>,
    user_id: &'a str,
    organization_id: &'a str,
    user_type: Option<&'a str>,
    signed_in_by: &'a str,
    since: Moment,
    idle_until: Moment,
    until: Moment,
    headers: &'a [(String, String)],
    sign_out: &'a str,
    home: &'a str,
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

    /// Who is signed in, until when, and which headers the app receives; never a token.
    pub fn me(&self, me: &Me, form: Form, visit: &Visit<'_>) -> Response {
        match form {
            Form::Page => self.me_page(me, visit),
            Form::Json => me_json(me, visit),
        }
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

    fn me_page(&self, me: &Me, visit: &Visit<'_>) -> Response {
        let heading = me.name.as_deref().unwrap_or(&me.username);
        let page = MePage {
            heading,
            initial: heading.chars().next().map(|first| first.to_uppercase().to_string()).unwrap_or_default(),
            name: me.name.as_deref(),
            username: &me.username,
            email: me.email.as_deref(),
            user_id: &me.user_id,
            organization_id: &me.organization_id,
            user_type: me.user_type.as_deref(),
            signed_in_by: &me.signed_in_by,
            since: me.since.into(),
            idle_until: me.idle_until.into(),
            until: me.until.into(),
            headers: &me.headers,
            sign_out: local(&me.sign_out).unwrap_or("/"),
            home: local(&me.home).unwrap_or("/"),
        };
        self.page(StatusCode::OK, "Who am I", "me.html", &page, visit, Referrer::None)
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

fn me_json(me: &Me, visit: &Visit<'_>) -> Response {
    let headers: serde_json::Map<_, _> =
        me.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let body = serde_json::json!({
        "name": me.name,
        "username": me.username,
        "email": me.email,
        "user_id": me.user_id,
        "organization_id": me.organization_id,
        "user_type": me.user_type,
        "provider": me.provider,
        "since": Moment::from(me.since).machine,
        "idle_until": Moment::from(me.idle_until).machine,
        "until": Moment::from(me.until).machine,
        "headers": headers,
        "sign_out": local(&me.sign_out),
        "request_id": visit.request_id,
    });
    bare(json(StatusCode::OK, &body))
}

/// A JSON answer that no browser will take for a page.
fn bare(mut response: Response) -> Response {
    headers::no_sniffing(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aws_lc_rs::digest::{SHA256, digest};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, REFRESH};

    use super::*;
    use crate::http::Body;
    use crate::refusal::ProviderDoubt;

    const VISIT: Visit<'static> =
        Visit { request_id: "request-0123456789", host: "wiki.example.com", now: Timestamp(1_791_381_802) };

    fn links() -> Links {
        Links {
            sign_in: "https://wiki.example.com/.portcullis/start?a=1&b=2".into(),
            another: "https://wiki.example.com/.portcullis/start?account=another".into(),
            again: "/a".into(),
            others: None,
            home: "/".into(),
        }
    }

    fn me() -> Me {
        Me {
            name: Some("Ada <b>Lovelace</b>".into()),
            username: "ada@acme.example".into(),
            email: None,
            user_id: "0055g00000ABCDEAA4".into(),
            organization_id: "00D5g00000ABCDEEA4".into(),
            user_type: Some("STANDARD".into()),
            provider: "salesforce".into(),
            signed_in_by: "Acme <staff>".into(),
            since: Timestamp(1_791_381_802),
            idle_until: Timestamp(1_791_385_402),
            until: Timestamp(1_791_410_602),
            headers: vec![("X-Forwarded-User".into(), "\"><script>".into())],
            sign_out: "/.portcullis/sign-out".into(),
            home: "/".into(),
        }
    }

    fn sign_out() -> SignOut {
        SignOut {
            who: "</p><script>alert(1)</script>".into(),
            action: "/.portcullis/sign-out".into(),
            home: "/".into(),
            onward: None,
        }
    }

    fn onward() -> PostOnward {
        PostOnward {
            title: "Sign in",
            why: "Because.",
            button: "Continue to Salesforce",
            action: "https://acme.my.salesforce.com/idp/endpoint/HttpPost?x='".into(),
            fields: vec![("SAMLRequest", "PHg+\"><script>".into())],
        }
    }

    fn read(response: Response) -> (hyper::HeaderMap, String) {
        let (parts, body) = response.into_parts();
        let Body::Full(body) = body else { panic!("no whole body") };
        (parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Every page there is, by name.
    fn every_page() -> Vec<(&'static str, hyper::HeaderMap, String)> {
        let pages = Pages::new().unwrap();
        let mut all = vec![
            ("sign out", pages.sign_out(&sign_out(), &VISIT)),
            ("signed out", pages.signed_out(&VISIT, &links())),
            ("onward", pages.post_onward(&onward(), &VISIT)),
            ("me", pages.me(&me(), Form::Page, &VISIT)),
        ];
        for refusal in Refusal::samples() {
            all.push((refusal.code(), pages.refusal(&refusal, Form::Page, &VISIT, &links())));
        }
        all.into_iter()
            .map(|(name, response)| (name, read(response)))
            .map(|(name, (head, body))| (name, head, body))
            .collect()
    }

    #[test]
    fn every_page_is_whole_and_says_where_it_is() {
        for (name, _, page) in every_page() {
            assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}");
            assert!(page.ends_with("</html>"), "{name}");
            for part in ["<main>", "<header>", "<footer>", "<h1>", "<title>", "wiki.example.com", "width=device-width"]
            {
                assert_eq!(page.matches(part).count().min(1), 1, "{name} lacks {part}");
            }
            assert_eq!(page.matches("<h1>").count(), 1, "{name}");
        }
    }

    #[test]
    fn every_refusal_shows_its_code_its_words_and_the_request() {
        let pages = Pages::new().unwrap();
        for refusal in Refusal::samples() {
            let response = pages.refusal(&refusal, Form::Page, &VISIT, &links());
            assert_eq!(response.status(), refusal.status());
            let (_, page) = read(response);
            assert!(page.contains(&format!("<code>{}</code>", refusal.code())), "{page}");
            assert!(page.replace("&#x27;", "'").contains(refusal.words().title), "{page}");
            assert!(page.contains("request-0123456789") && page.contains("7 October 2026, 14:03:22 UTC"), "{page}");
            assert!(page.contains("2026-10-07T14:03:22Z"), "{page}");
        }
    }

    #[test]
    fn nothing_on_a_page_runs_or_comes_from_elsewhere() {
        for (name, headers, page) in every_page() {
            for sign in ["<script", "javascript:", " style=", " src=", "url(", "@import", "<link", "<img", "onclick"] {
                assert!(!page.contains(sign), "{name} has {sign}");
            }
            let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
            for part in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
                assert!(policy.contains(part), "{name}: {policy}");
            }
            assert!(!policy.contains("unsafe"), "{name}: {policy}");
            for (header, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(headers[header], value, "{name}");
            }
        }
    }

    #[test]
    fn the_policy_admits_exactly_the_style_on_the_page() {
        for (name, headers, page) in every_page() {
            let (_, rest) = page.split_once("<style>").unwrap();
            let (style, _) = rest.split_once("</style>").unwrap();
            let hash = STANDARD.encode(digest(&SHA256, style.as_bytes()));
            let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains(&format!("style-src 'sha256-{hash}'")), "{name}");
        }
    }

    #[test]
    fn what_people_are_called_is_escaped() {
        let pages = Pages::new().unwrap();
        let (_, page) = read(pages.sign_out(&sign_out(), &VISIT));
        assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
        let (_, page) = read(pages.me(&me(), Form::Page, &VISIT));
        assert!(page.contains("Ada &lt;b&gt;Lovelace") && page.contains("&quot;&gt;&lt;script&gt;"), "{page}");
    }

    #[test]
    fn a_form_may_lead_to_the_provider_and_its_pages_alone() {
        let pages = Pages::new().unwrap();
        let policy = |response: Response| read(response).0[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        let to_provider = "form-action 'self' https://acme.my.salesforce.com https:;";
        assert!(policy(pages.post_onward(&onward(), &VISIT)).contains(to_provider));
        let page = SignOut { onward: Some("https://acme.my.salesforce.com/slo".into()), ..sign_out() };
        assert!(policy(pages.sign_out(&page, &VISIT)).contains(to_provider));
        assert!(policy(pages.sign_out(&sign_out(), &VISIT)).contains("form-action 'self';"));
        let page = PostOnward { action: "javascript:alert(1)".into(), ..onward() };
        let (headers, page) = read(pages.post_onward(&page, &VISIT));
        assert!(!page.contains("javascript") && page.contains("action=\"&#x2f;\""), "{page}");
        assert!(headers[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("form-action 'self';"));
    }

    #[test]
    fn causes_stay_in_the_log() {
        let pages = Pages::new().unwrap();
        let refusal = Refusal::ProviderMisbehaved { doubt: ProviderDoubt::Nonce, cause: "xyzzy".into() };
        for form in [Form::Page, Form::Json] {
            let (_, body) = read(pages.refusal(&refusal, form, &VISIT, &links()));
            assert!(!body.contains("xyzzy"), "{body}");
        }
    }

    #[test]
    fn a_link_that_could_run_a_script_or_leave_by_stealth_is_left_out() {
        let pages = Pages::new().unwrap();
        for link in ["javascript:alert(1)", "//evil.example", "/\\evil.example", "data:text/html,x", ""] {
            let others = Some(link.into());
            let another = link.into();
            let links = Links { sign_in: link.into(), another, again: link.into(), others, home: link.into() };
            let (_, page) = read(pages.refusal(&Refusal::AttemptExpired, Form::Page, &VISIT, &links));
            assert!(!page.contains("class=\"button\""), "{link}");
            let (_, body) = read(pages.refusal(&Refusal::AttemptExpired, Form::Json, &VISIT, &links));
            assert!(!body.contains("sign_in"), "{link}");
        }
    }

    #[test]
    fn a_link_is_escaped_and_kept_whole() {
        let pages = Pages::new().unwrap();
        let (_, page) = read(pages.refusal(&Refusal::AttemptExpired, Form::Page, &VISIT, &links()));
        let whole = page.replace("&#x2f;", "/").replace("&amp;", "&");
        assert!(whole.contains("href=\"https://wiki.example.com/.portcullis/start?a=1&b=2\""), "{page}");
    }

    #[test]
    fn a_program_gets_the_same_words_as_json() {
        let pages = Pages::new().unwrap();
        for refusal in Refusal::samples() {
            let response = pages.refusal(&refusal, Form::Json, &VISIT, &links());
            assert_eq!(response.status(), refusal.status());
            let (headers, body) = read(response);
            assert_eq!(headers[CONTENT_TYPE], "application/json");
            assert_eq!(headers[CACHE_CONTROL], "no-store");
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            let words = refusal.words();
            assert_eq!(body["error"], refusal.code());
            assert_eq!(body["message"], *words.happened);
            assert_eq!(body["what_you_can_do"], words.you);
            assert_eq!(body["administrator"], *words.administrator);
            assert_eq!(body["request_id"], "request-0123456789");
            let sign_in = body.get("sign_in").is_some();
            assert_eq!(
                sign_in,
                matches!(refusal.onward(), Onward::SignIn | Onward::SignInAsAnother),
                "{}",
                refusal.code()
            );
        }
    }

    #[test]
    fn a_401_carries_a_challenge_that_says_where_to_sign_in() {
        let pages = Pages::new().unwrap();
        for form in [Form::Page, Form::Json] {
            let response = pages.refusal(&Refusal::SignInRequired, form, &VISIT, &links());
            let challenge = &response.headers()[WWW_AUTHENTICATE];
            assert_eq!(challenge, "Portcullis sign_in=\"https://wiki.example.com/.portcullis/start?a=1&b=2\"");
        }
        let odd = Links { sign_in: "/a\"b".into(), ..links() };
        let response = pages.refusal(&Refusal::SignInRequired, Form::Json, &VISIT, &odd);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Portcullis");
    }

    #[test]
    fn a_405_lists_the_methods_and_a_503_says_when_to_come_back() {
        let pages = Pages::new().unwrap();
        let refusal = Refusal::MethodNotAllowed { allow: "GET, HEAD" };
        let response = pages.refusal(&refusal, Form::Page, &VISIT, &links());
        assert_eq!(response.headers()[ALLOW], "GET, HEAD");
        let response = pages.refusal(&Refusal::Draining, Form::Json, &VISIT, &links());
        assert_eq!(response.headers()[RETRY_AFTER], "10");
    }

    #[test]
    fn the_sign_out_form_keeps_its_origin_and_no_other_page_has_a_referrer() {
        let pages = Pages::new().unwrap();
        let (headers, page) = read(pages.sign_out(&sign_out(), &VISIT));
        assert_eq!(headers[REFERRER_POLICY], "same-origin");
        assert!(page.contains("<form") && page.contains("method=\"post\""), "{page}");
        for (name, headers, page) in every_page() {
            assert_eq!(page.contains("<form"), headers[REFERRER_POLICY] == "same-origin", "{name}");
        }
    }

    #[test]
    fn the_signed_out_page_does_not_sign_in_by_itself() {
        let response = Pages::new().unwrap().signed_out(&VISIT, &links());
        assert_eq!(response.status(), StatusCode::OK);
        let (headers, page) = read(response);
        assert!(!headers.contains_key(LOCATION) && !headers.contains_key(REFRESH));
        assert!(!page.to_ascii_lowercase().contains("http-equiv"), "{page}");
    }

    #[test]
    fn who_am_i_is_the_same_for_people_and_programs() {
        let pages = Pages::new().unwrap();
        let (_, body) = read(pages.me(&me(), Form::Json, &VISIT));
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["user_id"], "0055g00000ABCDEAA4");
        assert_eq!(body["organization_id"], "00D5g00000ABCDEEA4");
        assert_eq!(body["until"], "2026-10-07T22:03:22Z");
        assert_eq!(body["headers"]["X-Forwarded-User"], "\"><script>");
        assert_eq!(body["email"], serde_json::Value::Null);
        let (_, page) = read(pages.me(&me(), Form::Page, &VISIT));
        assert!(page.contains("0055g00000ABCDEAA4") && page.contains("7 October 2026, 22:03:22 UTC"), "{page}");
    }

    #[test]
    fn a_time_beyond_the_calendar_is_no_accident() {
        assert_eq!(Moment::from(Timestamp(u64::MAX)).machine, "1970-01-01T00:00:00Z");
    }

    /// WCAG 2.2 success criterion 1.4.3: 4.5 to 1.
    #[test]
    fn every_text_can_be_read_in_light_and_in_dark() {
        let style = include_str!("pages/style.css");
        let (light, dark) = style.split_once("prefers-color-scheme: dark").unwrap();
        let colours = |part: &str| -> BTreeMap<String, f64> {
            let lines = part.split([';', '{', '}']).filter_map(|line| line.trim().strip_prefix("--"));
            let pairs = lines.filter_map(|line| line.split_once(": #"));
            pairs.map(|(name, hex)| (name.to_owned(), luminance(hex))).collect()
        };
        let contrast = |one: f64, other: f64| (one.max(other) + 0.05) / (one.min(other) + 0.05);
        for part in [light, dark] {
            let colours = colours(part);
            for (text, ground) in [
                ("text", "page"),
                ("text", "glow"),
                ("text", "card"),
                ("soft", "page"),
                ("soft", "glow"),
                ("soft", "card"),
                ("accent", "page"),
                ("accent", "card"),
                ("on-accent", "accent"),
                ("on-accent", "accent-over"),
            ] {
                let contrast = contrast(colours[text], colours[ground]);
                assert!(contrast >= 4.5, "{text} on {ground}: {contrast}");
            }
            for marks in part.split("--mark: #").skip(1) {
                let (mark, ground) = (luminance(marks), luminance(marks.split("--mark-ground: #").nth(1).unwrap()));
                assert!(contrast(mark, ground) >= 4.5, "{}", &marks[..6]);
            }
        }
    }

    fn luminance(hex: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
    }
}
