//! Signing out of this gateway: a button, a POST, and a page that does not sign in again by itself.
//!
//! A state change by GET could be forced by an image on any page, so GET only shows the button. The POST has to
//! come from a page of this very origin: by `Origin`, which browsers send with every POST, or, where one does
//! not, by `Sec-Fetch-Site`. Neither means no (ASVS 3.5.1). Called by `login`.

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::header::{HeaderName, ORIGIN};

use super::{Declined, Login, Visitor, form, loop_breaker, set_cookies};
use crate::http::{Body, BodyFault, Response, json, see_other};
use crate::pages::{Form, SignOut};
use crate::refusal::Refusal;
use crate::session::cookie::{self, Keep};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl Login {
    pub(super) fn sign_out_page(&self, visitor: &Visitor<'_>) -> Response {
        let Some((_, session)) = &visitor.session else {
            return see_other(&format!("{}/signed-out", self.prefix));
        };
        let who = session.person().name.as_ref().unwrap_or(&session.person().username).to_string();
        let onward = self.sign_out_leads_to(session, visitor.now);
        let page = SignOut { who, action: format!("{}/sign-out", self.prefix), home: "/".to_owned(), onward };
        self.pages.sign_out(&page, &self.visit(visitor))
    }

    pub(super) async fn sign_out(&self, body: Body, visitor: &Visitor<'_>) -> Result<Response, Declined> {
        if !is_from_here(visitor.headers, visitor.site.origin.as_str()) {
            return Err(Refusal::CrossSite.into());
        }
        // Nothing in the body matters, but a connection can only be used again when it was read.
        let body = Limited::new(body, self.body_limit);
        if let Err(error) = body.collect().await {
            let refusal =
                if error.is::<LengthLimitError>() { Refusal::BodyTooLarge } else { BodyFault::of(&*error).into() };
            return Err(refusal.into());
        }
        for key in cookie::read_session(visitor.headers.into(), self.cookies) {
            self.sessions.end(&key);
        }
        let session = visitor.session.as_ref().map(|(_, session)| session);
        if let Some(session) = session {
            tracing::info!(user = %session.key().as_str(), "signed out");
        }
        let mut response = match form(visitor.headers) {
            Form::Page => match session.and_then(|session| self.sign_out_there(session, visitor.now)) {
                Some(way) => self.onward_after_sign_out(way, visitor),
                None => see_other(&format!("{}/signed-out", self.prefix)),
            },
            Form::Json => json(hyper::StatusCode::OK, &serde_json::json!({ "signed_out": true })),
        };
        let session = cookie::line(self.cookies, self.cookies.session_name(), "", Keep::Not);
        set_cookies(
            &mut response,
            [session, loop_breaker::reset(self.cookies, self.attempts.travel())].into_iter().flatten(),
        );
        Ok(response)
    }
}

/// Whether a form was sent from a page of `origin`.
fn is_from_here(headers: &HeaderMap, origin: &str) -> bool {
    let mut origins = headers.get_all(ORIGIN).into_iter();
    match (origins.next(), origins.next()) {
        (Some(theirs), None) => theirs == origin,
        (None, _) => headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "same-origin"),
        (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_this_origin_may_sign_out() {
        let check = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, value.parse().unwrap());
            }
            is_from_here(&headers, "https://wiki.example")
        };
        assert!(check(&[("origin", "https://wiki.example")]));
        assert!(check(&[("sec-fetch-site", "same-origin")]));
        for lines in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "https://evil.example")],
            &[("origin", "http://wiki.example")],
            &[("origin", "https://wiki.example.evil")],
            &[("origin", "https://wiki.example"), ("origin", "https://evil.example")],
            &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(!check(lines), "{lines:?}");
        }
    }
}
