//! The beginning of a sign-in: to Salesforce and, later, back to the very page.
//!
//! A navigation is sent straight to the provider; anything else gets a 401 that says where a person can sign in.
//! Called by `gateway` for a closed route, and by `login` for `/start`.

use hyper::header::{HeaderValue, REFERRER_POLICY};

use super::kind::is_embedded_elsewhere;
use super::{Asker, Declined, Login, Visitor, asker, faults, loop_breaker, set_cookies};
use crate::http::path::LocalPath;
use crate::http::{Response, see_other};
use crate::identity::{Posted, Provider, Way};
use crate::pages::PostOnward;
use crate::refusal::Refusal;

impl Login {
    /// Shows the way to sign in to a visitor of a closed route.
    ///
    /// # Errors
    /// [`Declined`]: a 401 for programs, or what kept the sign-in from starting.
    pub async fn start(&self, visitor: &Visitor<'_>) -> Result<Response, Declined> {
        match asker(visitor.method, visitor.headers) {
            Asker::Navigation => self.begin(self.wanted(visitor).unwrap_or_else(LocalPath::root), visitor).await,
            Asker::Program => Err(Declined { return_to: self.wanted(visitor), ..Refusal::SignInRequired.into() }),
        }
    }

    /// `/start?return_to=/path`: a link or a button that signs in. A `return_to` that is not a local path is
    /// ignored, never followed. Where another site only embeds the link, nothing begins.
    pub(super) async fn start_again(&self, visitor: &Visitor<'_>) -> Result<Response, Declined> {
        let mut wanted = url::form_urlencoded::parse(visitor.target.query().unwrap_or_default().as_bytes())
            .filter(|(name, _)| name == "return_to");
        let return_to = match (wanted.next(), wanted.next()) {
            (Some((_, path)), None) => LocalPath::parse(&path),
            _ => None,
        };
        if is_embedded_elsewhere(visitor.headers) {
            return Err(Declined { return_to, ..Refusal::SignInRequired.into() });
        }
        self.begin(return_to.unwrap_or_else(LocalPath::root), visitor).await
    }

    async fn begin(&self, return_to: LocalPath, visitor: &Visitor<'_>) -> Result<Response, Declined> {
        if loop_breaker::is_loop(visitor.headers, self.cookies) {
            self.metrics.sign_in(Refusal::RedirectLoop.code());
            let cookies = loop_breaker::reset(self.cookies, self.attempts.travel()).into_iter().collect();
            return Err(Declined { refusal: Refusal::RedirectLoop, return_to: Some(return_to), cookies });
        }
        let origin = visitor.site.origin.as_str();
        let declined = |refusal| Declined { refusal, return_to: Some(return_to.clone()), cookies: Vec::new() };
        let begun = self
            .provider
            .begin(origin, &self.callback_address(visitor), return_to.clone(), visitor.now)
            .await
            .map_err(|fault| declined(faults::refusal(fault)))?;
        let cookies = self
            .attempts
            .seal(&begun.attempt, visitor.headers, visitor.now)
            .map_err(|_| declined(Refusal::NoRandomness))?;
        let mut response = self.onward(begun.way, visitor);
        set_cookies(&mut response, cookies);
        Ok(response)
    }

    /// The answer that takes a browser to the provider.
    fn onward(&self, way: Way, visitor: &Visitor<'_>) -> Response {
        match way {
            Way::Redirect(location) => {
                let mut response = see_other(&location);
                response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
                response
            }
            Way::Form(Posted { action, fields }) => {
                let page = PostOnward {
                    title: "Sign in with Salesforce",
                    why: "You are asked to sign in before you go on. Salesforce does that, and brings you back here.",
                    button: "Continue to Salesforce",
                    action,
                    fields,
                };
                self.pages.post_onward(&page, &self.visit(visitor))
            }
        }
    }

    /// The absolute address that the provider sends the browser back to.
    pub(super) fn callback_address(&self, visitor: &Visitor<'_>) -> String {
        let end = match &self.provider {
            Provider::Oidc(_) => "/callback",
            Provider::Saml(_) => "/saml/acs",
        };
        format!("{}{}{end}", visitor.site.origin, self.prefix)
    }
}
