//! Requests read and answers made, the way the pretend org's endpoints need them.
//!
//! Also the answers that no client should swallow: pages for people, endless ones, redirects, a closed
//! connection. Called by every endpoint of the emulator.

use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue, LOCATION};
use hyper::{HeaderMap, Method, StatusCode};

use super::idtoken::ELSEWHERE;
use crate::http::{self, Body, BodyError, Response};

/// The largest form that the pretend org reads.
const FORM_LIMIT: usize = 64 * 1024;
/// The cookie of a session at the pretend org; the gateway's has another name.
pub(super) const COOKIE_NAME: &str = "pretend_org_sid";

/// The same cookie, taken away.
pub(super) const GONE: &str = "pretend_org_sid=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0";

/// A request without its body.
pub(super) struct Head {
    /// The method.
    pub(super) method: Method,
    /// The query's parameters.
    pub(super) query: Form,
    /// The query as it came, for signatures over its bytes.
    pub(super) raw: String,
    /// The headers.
    pub(super) headers: HeaderMap,
}

impl Head {
    /// The token of `Authorization: Bearer`.
    pub(super) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("Bearer").then_some(token)
    }

    /// User name and password of `Authorization: Basic`, form-decoded as RFC 6749 section 2.3.1 says.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let (scheme, text) = self.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        let plain = |part: &str| {
            let spaced = part.replace('+', " ");
            percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
        };
        Some((plain(id)?, plain(secret)?))
    }

    /// The session cookie of the pretend org.
    pub(super) fn session(&self) -> Option<&str> {
        let lines = self.headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(';')).find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == COOKIE_NAME).then_some(value)
        })
    }
}

/// Parameters of a query or a form, decoded once.
#[derive(Clone, Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded` bytes.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The first value of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_str())
    }

    /// The names, in order.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|pair| pair.0.clone()).collect()
    }
}

/// The whole body of a request, or nothing when it is too large or breaks off.
pub(super) async fn read(body: Body) -> Option<Bytes> {
    Limited::new(body, FORM_LIMIT).collect().await.ok().map(http_body_util::Collected::to_bytes)
}

/// 302, which is what Salesforce's own redirects are.
pub(super) fn found(location: &str) -> Response {
    let mut response = http::see_other(location);
    if response.status() == StatusCode::SEE_OTHER {
        *response.status_mut() = StatusCode::FOUND;
    }
    response
}

/// Adds a header that is known to be one.
pub(super) fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(name, value);
    }
    response
}

/// An error that is shown and never redirected, because nothing of the request can be trusted (behaviour 11).
pub(super) fn shown(complaint: super::mischief::Complaint) -> String {
    let description = percent_encoding::utf8_percent_encode(complaint.description, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%5F", "_");
    format!("error={}&error_description={description}", complaint.error)
}

/// A page for people where a program expects JSON: maintenance, mostly.
pub(super) fn html_page(status: StatusCode) -> Response {
    let page = "<!doctype html><title>Down for maintenance</title><h1>We are down for maintenance</h1>";
    http::answer(status, "text/html; charset=utf-8", page)
}

/// Somebody else's address, for a client that must not go there.
pub(super) fn redirect_elsewhere(status: StatusCode) -> Response {
    let mut response = http::answer(status, "text/plain; charset=utf-8", "");
    if let Ok(location) = HeaderValue::from_str(&format!("{ELSEWHERE}/services/oauth2/elsewhere")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// JSON that goes on for 64 MiB.
pub(super) fn oversized() -> Response {
    let mut response = Response::new(Body::streamed(Endless { left: 1024 }));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    response
}

/// A body that fails at once: the connection closes before an answer was written.
pub(super) fn hang_up() -> Response {
    Response::new(Body::streamed(HangUp))
}

struct Endless {
    left: u32,
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        static SPACES: [u8; 65536] = [b' '; 65536];
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&SPACES)))))
    }
}

struct HangUp;

impl http_body::Body for HangUp {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(Some(Err("the pretend org hangs up".into())))
    }
}
