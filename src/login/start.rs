//! The beginning of a sign-in: to Salesforce and, later, back to the very page.
//!
//! A navigation is sent straight to the provider, or to the choice where there are several; anything else gets a 401
//! that says where a person can sign in.
//! Called by `gateway` for a closed route, and by `login` for `/start`.

use hyper::header::{HeaderValue, REFERRER_POLICY};

use super::kind::is_embedded_elsewhere;
use super::{ANOTHER, Asker, Declined, Entrance, Login, Visitor, asker, faults, loop_breaker, set_cookies};
use crate::http::path::LocalPath;
use crate::http::{Response, see_other};
use crate::identity::{Account, Posted, Way};
use crate::pages::PostOnward;
use crate::refusal::Refusal;
use crate::session::attempt::Opened;

impl Login {
    /// Shows the way to sign in to a visitor of a closed route.
    ///
    /// # Errors
    /// [`Declined`]: a 401 for programs, or what kept the sign-in from starting.
    pub async fn start(&self, visitor: &Visitor<'_>) -> Result<Response, Declined> {
        let wanted = self.wanted(visitor);
        match (asker(visitor.method, visitor.headers), self.entrances.only()) {
            (Asker::Navigation, Some(entrance)) => {
                self.begin(entrance, wanted.unwrap_or_else(LocalPath::root), Account::Any, visitor).await
            }
            (Asker::Navigation, None) => Ok(self.to_choice(wanted.as_ref())),
            (Asker::Program, _) => Err(Declined { return_to: wanted, ..Refusal::SignInRequired.into() }),
        }
    }

    /// `/start?provider=NAME&return_to=/path`: a link or a button that signs in. A `return_to` that is not a local
    /// path is ignored, never followed; without a `provider` people choose, where there are several; with
    /// `account=another` the provider asks who it is. Where another site only embeds the link, nothing begins.
    pub(super) async fn start_again(&self, visitor: &Visitor<'_>) -> Result<Response, Declined> {
        let query = visitor.target.query().unwrap_or_default().as_bytes();
        let values = |wanted: &'static str| {
            url::form_urlencoded::parse(query).filter(move |(name, _)| name == wanted).map(|(_, value)| value)
        };
        let mut paths = values("return_to");
        let return_to = match (paths.next(), paths.next()) {
            (Some(path), None) => LocalPath::parse(&path),
            _ => None,
        };
        if is_embedded_elsewhere(visitor.headers) {
            return Err(Declined { return_to, ..Refusal::SignInRequired.into() });
        }
        let another = values("account").any(|account| account == ANOTHER);
        let account = if another { Account::Another } else { Account::Any };
        let mut providers = values("provider");
        let declined = |refusal: Refusal| Declined { return_to: return_to.clone(), ..refusal.into() };
        let entrance = match (providers.next(), providers.next()) {
            (Some(name), None) => Some(self.entrances.named(&name).ok_or_else(|| declined(Refusal::UnknownProvider))?),
            (Some(_), Some(_)) => return Err(declined(Refusal::ParameterRepeated)),
            (None, _) => self.entrances.only(),
        };
        match entrance {
            Some(entrance) => self.begin(entrance, return_to.unwrap_or_else(LocalPath::root), account, visitor).await,
            None => self.offer(return_to, account, visitor),
        }
    }

    async fn begin(
        &self,
        entrance: &Entrance,
        return_to: LocalPath,
        account: Account,
        visitor: &Visitor<'_>,
    ) -> Result<Response, Declined> {
        self.break_loop(Some(entrance), &return_to, visitor)?;
        let origin = visitor.site.origin.as_str();
        let declined = |refusal| Declined {
            refusal,
            return_to: Some(return_to.clone()),
            provider: Some(entrance.name().clone()),
            cookies: Vec::new(),
        };
        let begun = entrance
            .provider
            .begin(origin, &self.callback_address(entrance, visitor), return_to.clone(), account, visitor.now)
            .await
            .map_err(|fault| declined(faults::refusal(fault)))?;
        let replaces = visitor.session.as_ref().map(|(key, _)| *key);
        let cookies = self
            .attempts
            .seal(&Opened { attempt: begun.attempt, replaces }, visitor.headers, visitor.now)
            .map_err(|_| declined(Refusal::NoRandomness))?;
        let mut response = self.onward(begun.way, visitor);
        set_cookies(&mut response, cookies);
        Ok(response)
    }

    /// Explains the loop to a browser that is in one, in place of the next round.
    pub(super) fn break_loop(
        &self,
        entrance: Option<&Entrance>,
        return_to: &LocalPath,
        visitor: &Visitor<'_>,
    ) -> Result<(), Declined> {
        if !loop_breaker::is_loop(visitor.headers, self.cookies) {
            return Ok(());
        }
        let provider = entrance.map(|entrance| entrance.name().clone());
        self.metrics.sign_in(provider.as_ref().map_or("", |name| &name.0), Refusal::RedirectLoop.code());
        let cookies = loop_breaker::reset(self.cookies, self.attempts.travel()).into_iter().collect();
        Err(Declined { refusal: Refusal::RedirectLoop, return_to: Some(return_to.clone()), provider, cookies })
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
    pub(super) fn callback_address(&self, entrance: &Entrance, visitor: &Visitor<'_>) -> String {
        format!("{}{}{}", visitor.site.origin, self.prefix, entrance.paths.answer)
    }
}
