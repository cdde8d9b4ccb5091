//! The pages that people see at the pretend org.
//!
//! They look like nobody else's, say in every footer that they are pretend, work by keyboard and without
//! scripts (but for the one that imitates behaviour 10), and escape by minijinja. Called by the endpoints that a
//! browser visits.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use minijinja::{Environment, Value, context};

use super::Base;
use super::complaints::Complaint;
use super::people::{EVERYBODY, PASSWORD, Person};
use super::saml::Event;
use super::wire;
use crate::http::{self, Response};

const CONTENT_SECURITY_POLICY: HeaderName = HeaderName::from_static("content-security-policy");
// no form-action: browsers apply it to the redirects after a form, which lead to the app
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'";
const SCRIPTED: &str =
    "default-src 'none'; style-src 'self'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'";

/// The templates, read once.
pub(super) struct Pages {
    templates: Environment<'static>,
}

impl Pages {
    /// Reads the templates.
    ///
    /// # Errors
    /// When one of them cannot be read, which a test would have found.
    pub(super) fn new() -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.add_template("layout.html", include_str!("pages/layout.html"))?;
        templates.add_template("sign_in.html", include_str!("pages/sign_in.html"))?;
        templates.add_template("approve.html", include_str!("pages/approve.html"))?;
        templates.add_template("notice.html", include_str!("pages/notice.html"))?;
        templates.add_template("onward.html", include_str!("pages/onward.html"))?;
        templates.add_template("post.html", include_str!("pages/post.html"))?;
        Ok(Self { templates })
    }

    /// The style sheet of all of them.
    pub(super) fn style(&self) -> Response {
        http::answer(StatusCode::OK, "text/css; charset=utf-8", include_str!("pages/style.css"))
    }

    /// The sign-in page.
    pub(super) fn sign_in(&self, status: StatusCode, base: &Base, onward: &str, hint: &str, sorry: &str) -> Response {
        let people: Vec<Value> = EVERYBODY.iter().map(describe).collect();
        let page = context! {
            base => base.path.as_str(), host => base.url.as_str(), onward, hint, sorry, people, password => PASSWORD,
        };
        self.frame(status, base, "Sign in", "sign_in.html", page)
    }

    /// The approval page.
    pub(super) fn approve(&self, base: &Base, person: &Person, scopes: &[String], source: &str) -> Response {
        let scopes: Vec<String> = scopes.iter().map(|scope| in_words(scope).to_owned()).collect();
        let page = context! { base => base.path.as_str(), host => base.url.as_str(), person => describe(person), scopes, source };
        self.frame(StatusCode::OK, base, "Allow access?", "approve.html", page)
    }

    /// Somebody is signed in here and wants nothing in particular.
    pub(super) fn home(&self, base: &Base, person: &Person) -> Response {
        let text = format!("You are signed in at the pretend org as {}. There is nothing else here.", person.name());
        let page = context! { base => base.path.as_str(), title => "Pretend org", text, sign_out => true };
        self.frame(StatusCode::OK, base, "Pretend org", "notice.html", page)
    }

    /// The browser is signed out here.
    pub(super) fn signed_out(&self, base: &Base) -> Response {
        let text = "You are signed out of the pretend org. Apps that you signed in to are not told.";
        self.notice(StatusCode::OK, base, "Signed out", text, None)
    }

    /// The approval page was left open too long, or answered before.
    pub(super) fn stale(&self, base: &Base) -> Response {
        let text = "You didn't complete the approval process before it expired. Go back to the app and try again.";
        self.notice(StatusCode::BAD_REQUEST, base, "OAuth error", text, Some("OAuth 1800"))
    }

    /// An error of the authorize endpoint that is shown here (behaviour 11).
    pub(super) fn error(&self, base: &Base, complaint: Complaint) -> Response {
        let text = "The app sent you here with a request that this org does not accept, so it is not told either.";
        self.notice(StatusCode::BAD_REQUEST, base, "OAuth error", text, Some(&wire::shown(complaint)))
    }

    /// A page that leads on by script, as Salesforce does where others redirect (behaviour 10).
    pub(super) fn onward(&self, location: &str) -> Response {
        let mut response = show(StatusCode::OK, self.render("onward.html", context! { location }));
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SCRIPTED));
        response
    }

    /// A form that posts itself, as SAML's answers travel (behaviour 29).
    pub(super) fn post(&self, action: &str, fields: &[(&str, String)]) -> Response {
        let fields: Vec<Value> = fields.iter().map(|(name, value)| context! { name => *name, value }).collect();
        let mut response = show(StatusCode::OK, self.render("post.html", context! { action, fields }));
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SCRIPTED));
        response
    }

    /// An error of the SAML identity provider, which is shown here (behaviour 30).
    pub(super) fn event(&self, base: &Base, event: Event) -> Response {
        self.notice(event.status(), base, "Single sign-on error", event.words(), Some(event.code()))
    }

    fn notice(&self, status: StatusCode, base: &Base, title: &str, text: &str, code: Option<&str>) -> Response {
        self.frame(status, base, title, "notice.html", context! { title, text, code })
    }

    /// A page for people, in the frame that says where they are.
    fn frame(&self, status: StatusCode, base: &Base, title: &str, name: &str, page: Value) -> Response {
        let framed = self.render(name, page).and_then(|body| {
            let body = Value::from_safe_string(body);
            self.render("layout.html", context! { base => base.path.as_str(), title, body })
        });
        show(status, framed)
    }

    fn render(&self, name: &str, page: Value) -> Result<String, minijinja::Error> {
        self.templates.get_template(name)?.render(page)
    }
}

fn show(status: StatusCode, rendered: Result<String, minijinja::Error>) -> Response {
    let Ok(html) = rendered else {
        return http::text(StatusCode::INTERNAL_SERVER_ERROR, "the pretend org cannot draw this page");
    };
    let mut response = http::answer(status, "text/html; charset=utf-8", html);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn describe(person: &Person) -> Value {
    let initials: String =
        [person.given_name, person.family_name].iter().filter_map(|name| name.chars().next()).collect();
    context! { username => person.username, name => person.name(), part => person.part, initials }
}

fn in_words(scope: &str) -> &str {
    match scope {
        "openid" => "Access unique user identifiers (openid)",
        "id" => "Access the identity URL service (id)",
        "profile" => "Access your name and profile (profile)",
        "email" => "Access your e-mail address (email)",
        "refresh_token" | "offline_access" => "Perform requests at any time (refresh_token)",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::BaseKind;
    use http_body_util::BodyExt;

    async fn html(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn what_a_request_brings_is_escaped() {
        let pages = Pages::new().unwrap();
        let base = Base { kind: BaseKind::MyDomain, url: "http://127.0.0.1:1".to_owned(), path: String::new() };
        let page = html(pages.sign_in(StatusCode::OK, &base, "/x?\"><script>", "\"><script>", "<b>")).await;
        assert!(!page.contains("<script") && !page.contains("<b>"));
        let page = html(pages.onward("/\"><script>alert(1)</script>")).await;
        assert!(!page.contains("alert(1)</script>"));
    }

    #[tokio::test]
    async fn every_page_says_that_it_is_pretend() {
        let pages = Pages::new().unwrap();
        let base = Base { kind: BaseKind::MyDomain, url: "http://127.0.0.1:1".to_owned(), path: String::new() };
        let shown = [
            pages.sign_in(StatusCode::OK, &base, "", "", ""),
            pages.approve(&base, &EVERYBODY[0], &["openid".to_owned()], "s"),
            pages.home(&base, &EVERYBODY[0]),
            pages.signed_out(&base),
            pages.stale(&base),
            pages.error(&base, super::super::complaints::CLIENT_UNKNOWN),
            pages.event(&base, Event::AppAccessDenied),
            pages.post("http://127.0.0.1:1/acs", &[("SAMLResponse", String::new())]),
        ];
        for page in shown {
            assert!(html(page).await.contains("pretend"));
        }
    }
}
