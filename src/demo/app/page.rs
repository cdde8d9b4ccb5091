//! The page that shows a request: what everybody sees first after signing in.
//!
//! Called by the app's dispatch.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, VARY};
use minijinja::{Environment, Value, context};

use super::Head;
use crate::http::{self, Response};

const CONTENT_SECURITY_POLICY: HeaderName = HeaderName::from_static("content-security-policy");
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self' ws: wss:; \
                      img-src data:; base-uri 'none'; form-action 'self'";

/// The template, read once.
pub(super) struct Page {
    templates: Environment<'static>,
}

impl Page {
    pub(super) fn new() -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.add_template("page.html", include_str!("page.html"))?;
        Ok(Self { templates })
    }

    /// The request, as it was received.
    pub(super) fn draw(&self, head: &Head, body: u64) -> Response {
        let rows: Vec<Value> = head
            .pairs()
            .into_iter()
            .map(|(name, value)| {
                let kind = kind(&name);
                let plain = plain(&value);
                let plain = (kind == "identity" && plain != value).then_some(plain);
                context! { name, value, kind, plain }
            })
            .collect();
        let person =
            ["x-person-name", "x-forwarded-preferred-username", "x-auth-request-preferred-username", "remote-user"]
                .iter()
                .find_map(|name| head.headers.get(*name)?.to_str().ok())
                .map(plain);
        let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
        let page = context! {
            person, rows, path, query, body,
            method => head.method.as_str(), target => head.target.as_str(), version => head.version.as_str(),
            cookie => head.headers.contains_key(hyper::header::COOKIE),
        };
        let rendered = self.templates.get_template("page.html").and_then(|template| template.render(page));
        let Ok(html) = rendered else {
            return http::text(StatusCode::INTERNAL_SERVER_ERROR, "the app cannot draw its page");
        };
        let mut response = http::answer(StatusCode::OK, "text/html; charset=utf-8", html);
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        response
    }
}

/// What sort of header it is, for the colour of its row.
fn kind(name: &str) -> &'static str {
    match name {
        "x-forwarded-user" | "x-forwarded-email" | "x-forwarded-preferred-username" => "identity",
        "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" | "forwarded" | "via" | "x-request-id" => "proxy",
        _ if ["x-salesforce-", "x-auth-request-", "remote-", "x-person-"]
            .iter()
            .any(|prefix| name.starts_with(prefix)) =>
        {
            "identity"
        }
        _ => "browser",
    }
}

/// A value as people read it: names beyond ASCII travel percent-encoded.
fn plain(value: &str) -> String {
    percent_encoding::percent_decode_str(value)
        .decode_utf8()
        .map_or_else(|_| value.to_owned(), |text| text.into_owned())
}
