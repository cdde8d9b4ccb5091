//! Who is asking: a person going to a page, or a program.
//!
//! A redirect helps only a person. A `fetch` that is sent to another host's sign-in page fails on CORS and the
//! app looks frozen, which is the second loudest complaint about gateways of this kind. Decided from Fetch
//! Metadata (`Sec-Fetch-*`) where the browser sends it, and from older habits where it does not. Called by
//! `gateway` and `login`.

use hyper::header::{ACCEPT, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};

use crate::pages::Form;

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A browser that goes to a page in a tab of its own: can be sent to sign in.
    Navigation,
    /// Anything else: is told where to sign in.
    Program,
}

/// Who sends a request with this method and these headers.
pub fn asker(method: &Method, headers: &HeaderMap) -> Asker {
    let says = |name: &HeaderName, value: &str| {
        headers.get(name).is_some_and(|theirs| theirs.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
    };
    if *method != Method::GET
        || says(&X_REQUESTED_WITH, "XMLHttpRequest")
        || !accepts_html(headers.get(ACCEPT).map(HeaderValue::as_bytes))
    {
        return Asker::Program;
    }
    // In a frame the provider's page would refuse to show; the frame gets a page with a link instead.
    let mode_fits = !headers.contains_key(SEC_FETCH_MODE) || says(&SEC_FETCH_MODE, "navigate");
    let destination_fits = !headers.contains_key(SEC_FETCH_DEST) || says(&SEC_FETCH_DEST, "document");
    if mode_fits && destination_fits { Asker::Navigation } else { Asker::Program }
}

/// Whether a page of another origin only embeds this address (an image, a frame, a prefetch) instead of leading the
/// person there. Cookies that travel with forms are also taken from answers to those, so a page somewhere could
/// have a visitor's browser collect attempts until its requests are too long to be read.
pub(super) fn is_embedded_elsewhere(headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName, value: &str| headers.get(name).is_some_and(|theirs| theirs == value);
    let elsewhere =
        headers.contains_key(SEC_FETCH_SITE) && !says(&SEC_FETCH_SITE, "same-origin") && !says(&SEC_FETCH_SITE, "none");
    elsewhere && !(says(&SEC_FETCH_MODE, "navigate") && says(&SEC_FETCH_DEST, "document"))
}

/// In which form to answer: a page for whoever accepts HTML, JSON otherwise.
pub fn form(headers: &HeaderMap) -> Form {
    form_of(headers.get(ACCEPT).map(HeaderValue::as_bytes))
}

/// The same, from the `Accept` line alone.
pub fn form_of(accept: Option<&[u8]>) -> Form {
    if accepts_html(accept) { Form::Page } else { Form::Json }
}

fn accepts_html(accept: Option<&[u8]>) -> bool {
    let mut ranges = accept.into_iter().flat_map(|line| line.split(|byte| *byte == b','));
    ranges.any(|range| {
        let kind = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        kind.eq_ignore_ascii_case(b"text/html") || kind.eq_ignore_ascii_case(b"application/xhtml+xml")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, lines: &[(&'static str, &'static str)]) -> Asker {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        asker(&method, &headers)
    }

    const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");

    #[test]
    fn what_is_odd_beside_html_is_passed_over() {
        for line in [&b"text/html, x/\xe9"[..], b"*/\xff;q=0.1, TEXT/HTML ;q=0.9", b",,application/xhtml+xml"] {
            assert_eq!(form_of(Some(line)), Form::Page, "{line:?}");
        }
        for line in [&b"*/*"[..], b"text/htmlx", b"x;text/html", b"\xe9text/html", b""] {
            assert_eq!(form_of(Some(line)), Form::Json, "{line:?}");
        }
    }

    #[test]
    fn a_browser_going_to_a_page_is_a_navigation() {
        assert_eq!(ask(Method::GET, &[HTML]), Asker::Navigation);
        assert_eq!(
            ask(Method::GET, &[HTML, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]),
            Asker::Navigation
        );
    }

    #[test]
    fn a_link_leads_here_and_an_image_of_another_site_only_embeds() {
        let embedded = |lines: &[(&'static str, &'static str)]| {
            let lines = lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            is_embedded_elsewhere(&lines.collect())
        };
        let (page, none) = (("sec-fetch-dest", "document"), ("sec-fetch-mode", "no-cors"));
        let (navigation, foreign) = (("sec-fetch-mode", "navigate"), ("sec-fetch-site", "cross-site"));
        assert!(!embedded(&[]));
        assert!(!embedded(&[foreign, navigation, page]));
        assert!(!embedded(&[("sec-fetch-site", "none"), navigation, page]));
        assert!(!embedded(&[("sec-fetch-site", "same-origin"), none, ("sec-fetch-dest", "empty")]));
        for site in [foreign, ("sec-fetch-site", "same-site")] {
            assert!(embedded(&[site, none, ("sec-fetch-dest", "image")]));
            assert!(embedded(&[site, navigation, ("sec-fetch-dest", "iframe")]));
            assert!(embedded(&[site, none, page]));
            assert!(embedded(&[site]));
        }
    }

    #[test]
    fn everything_else_is_a_program() {
        for lines in [
            &[][..],
            &[("accept", "*/*")],
            &[("accept", "application/json")],
            &[("accept", "application/json, text/htmlx")],
            &[HTML, ("x-requested-with", "XMLHttpRequest")],
            &[HTML, ("sec-fetch-mode", "cors")],
            &[HTML, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
            &[HTML, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
            &[HTML, ("sec-fetch-mode", "websocket")],
        ] {
            assert_eq!(ask(Method::GET, lines), Asker::Program, "{lines:?}");
        }
        for method in [Method::POST, Method::HEAD, Method::PUT, Method::OPTIONS, Method::from_bytes(b"get").unwrap()] {
            assert_eq!(ask(method.clone(), &[HTML]), Asker::Program, "{method}");
        }
    }
}
