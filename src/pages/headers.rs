//! The headers that protect our own pages, and the challenge that a 401 must carry.
//!
//! RFC 9700 section 4.16 (no framing), section 4.2.4 (no referrer); RFC 9110 section 11.6.1 (challenge).
//! Called by `pages`.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use crate::http::Response;

const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Whom the browser may tell about a page of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Referrer {
    /// Nobody.
    None,
    /// Ourselves: a form sent with no referrer has `Origin: null`, which sign-out would have to refuse.
    SameOrigin,
}

/// Where the forms of a page may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forms<'a> {
    /// To this origin.
    Here,
    /// To this address too, and from there to whatever page it sends people on to: browsers hold redirects
    /// after a form against the policy as well, and an org may sign its people in elsewhere.
    And(&'a str),
}

/// What every page carries.
pub(super) struct Guard {
    style: String,
}

impl Guard {
    /// A guard that admits exactly this stylesheet.
    pub(super) fn new(style: &str) -> Self {
        let hash = STANDARD.encode(digest(&SHA256, style.as_bytes()));
        Self { style: format!("'sha256-{hash}'") }
    }

    fn policy(&self, forms: Forms<'_>) -> Option<HeaderValue> {
        let onward = match forms {
            Forms::Here => None,
            Forms::And(address) => url::Url::parse(address).ok().filter(|url| matches!(url.scheme(), "https" | "http")),
        };
        // An origin as the URL parser writes it holds nothing that ends a directive.
        let onward = onward.map_or_else(String::new, |url| format!(" {} https:", url.origin().ascii_serialization()));
        let policy = format!(
            "default-src 'none'; style-src {}; form-action 'self'{onward}; frame-ancestors 'none'; base-uri 'none'",
            self.style
        );
        HeaderValue::try_from(policy).ok()
    }

    /// Adds them.
    pub(super) fn protect(&self, response: &mut Response, referrer: Referrer, forms: Forms<'_>) {
        let headers = response.headers_mut();
        no_sniffing(headers);
        let policy = self.policy(forms).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(CROSS_ORIGIN_OPENER_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(
            REFERRER_POLICY,
            HeaderValue::from_static(match referrer {
                Referrer::None => "no-referrer",
                Referrer::SameOrigin => "same-origin",
            }),
        );
    }
}

/// Tells the browser to believe the media type.
pub(super) fn no_sniffing(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// The `WWW-Authenticate` of a 401: a scheme of our own whose one parameter says where to sign in. RFC 9110
/// section 5.6.4: a quoted string holds no bare `"` or `\`; an address that has one is left out.
pub(super) fn challenge(sign_in: &str) -> HeaderValue {
    let plain =
        !sign_in.is_empty() && sign_in.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    let full = plain.then(|| HeaderValue::try_from(format!("Portcullis sign_in=\"{sign_in}\"")).ok());
    full.flatten().unwrap_or(HeaderValue::from_static("Portcullis"))
}
