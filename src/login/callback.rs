//! The end of a sign-in: the browser is back from the provider.
//!
//! In this order: parameters once each; was this `state` used before; the sealed attempt of *this* browser; the
//! one use of it claimed; then the provider, who compares `state` before anything is exchanged; then the rules;
//! and only then a session, under a fresh id. Whatever happens, the attempt's cookie is deleted. A replayed
//! callback of a browser that is signed in leads to its page and not to an error (back button, reload). Called
//! by `login`.

use super::arrival::back_to;
use super::{Declined, Entrance, Login, Visitor, faults};
use crate::http::Response;
use crate::http::path::LocalPath;
use crate::identity::{Answer, oidc};
use crate::refusal::Refusal;
use crate::refusal::salesforce::SalesforceError;
use crate::session::attempt::{AttemptId, Opened};
use crate::session::cookie::Travel;

/// The longest parameter that is read, in bytes; Salesforce's are under 200.
const LONGEST_PARAMETER: usize = 4096;

impl Login {
    pub(super) async fn callback(
        &self,
        entrance: &Entrance,
        provider: &oidc::Provider,
        visitor: &Visitor<'_>,
    ) -> Result<Response, Declined> {
        let outcome = self.finish(entrance, provider, visitor).await;
        self.record(entrance, outcome)
    }

    /// Counts how a sign-in ended, and remembers for the way onward by whom it was.
    pub(super) fn record(
        &self,
        entrance: &Entrance,
        outcome: Result<Response, Declined>,
    ) -> Result<Response, Declined> {
        let count = |outcome| self.metrics.sign_in(&entrance.name().0, outcome);
        outcome.inspect(|_| count("signed_in")).map_err(|declined| {
            count(declined.refusal.code());
            let provider = declined.provider.or_else(|| Some(entrance.name().clone()));
            Declined { provider, ..declined }
        })
    }

    async fn finish(
        &self,
        entrance: &Entrance,
        provider: &oidc::Provider,
        visitor: &Visitor<'_>,
    ) -> Result<Response, Declined> {
        let answer = read_answer(visitor.target.query().unwrap_or_default())?;
        let Some(state) = answer.state.clone() else {
            // Some of Salesforce's errors come without a state. Their words are ours, so showing them is safe.
            let refusal = match answer.error.as_deref() {
                Some(error) => Refusal::Salesforce {
                    error: SalesforceError::recognise(error, answer.error_description.as_deref()),
                    cause: "an error without a state".to_owned(),
                },
                None => Refusal::StateMismatch,
            };
            return already_signed_in(visitor, None, refusal);
        };
        let id = AttemptId::of(&state);
        if self.attempts.is_spent(id) {
            return already_signed_in(visitor, Some(id), Refusal::AttemptUsed);
        }
        let opened = match self.attempts.open(&state, visitor.headers, visitor.now) {
            Ok(opened) => opened,
            Err(why) => {
                return already_signed_in(visitor, None, why.into())
                    .map_err(|declined| self.without(&state, Travel::Links, declined));
            }
        };
        let attempt = &opened.attempt;
        if attempt.origin != visitor.site.origin.as_str() {
            return Err(self.without(&state, Travel::Links, Refusal::AttemptForged.into()));
        }
        if let Err(why) = self.attempts.spend(id, visitor.now) {
            return already_signed_in(visitor, Some(id), why.into());
        }
        let travel = Travel::of(&attempt.secrets);
        let (return_to, provider_name) = (Some(attempt.return_to.clone()), Some(attempt.provider.clone()));
        let declined = |refusal| {
            let declined = Declined { refusal, return_to, provider: provider_name, cookies: Vec::new() };
            self.without(&state, travel, declined)
        };
        self.sign_in(entrance, provider, opened, answer, &state, visitor).await.map_err(declined)
    }

    async fn sign_in(
        &self,
        entrance: &Entrance,
        provider: &oidc::Provider,
        opened: Opened,
        answer: Answer,
        state: &str,
        visitor: &Visitor<'_>,
    ) -> Result<Response, Refusal> {
        let Opened { attempt, replaces } = opened;
        let return_to = attempt.return_to.clone();
        let callback = self.callback_address(entrance, visitor);
        let signed_in = provider.complete(attempt, &callback, answer, visitor.now).await.map_err(faults::refusal)?;
        self.arrive(entrance, signed_in, Some(state), replaces, &return_to, visitor)
    }

    /// With the attempt's cookie deleted.
    pub(super) fn without(&self, state: &str, travel: Travel, mut declined: Declined) -> Declined {
        declined.cookies.extend(self.attempts.forget(state, travel));
        declined
    }
}

/// A callback that cannot be answered (again): a browser that is signed in goes on to its page, others are told.
pub(super) fn already_signed_in(
    visitor: &Visitor<'_>,
    attempt: Option<AttemptId>,
    refusal: Refusal,
) -> Result<Response, Declined> {
    let Some((_, session)) = &visitor.session else { return Err(refusal.into()) };
    let page = attempt.and_then(|attempt| session.made_by(attempt)).cloned();
    Ok(back_to(&page.unwrap_or_else(LocalPath::root)))
}

/// Reads the parameters that matter; others (`sfdc_community_url` and the like) are ignored and never trusted.
fn read_answer(query: &str) -> Result<Answer, Declined> {
    let mut answer = Answer::default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let slot = match &*name {
            "code" => &mut answer.code,
            "state" => &mut answer.state,
            "error" => &mut answer.error,
            "error_description" => &mut answer.error_description,
            "iss" => &mut answer.issuer,
            _ => continue,
        };
        if slot.is_some() {
            return Err(Refusal::ParameterRepeated.into());
        }
        if value.len() > LONGEST_PARAMETER {
            return Err(Refusal::CallbackIncomplete.into());
        }
        *slot = Some(value.into_owned());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_decoded_exactly_once() {
        let answer = read_answer("code=aPrx%252B%2B%3D%3D&state=s&sfdc_community_url=https%3A%2F%2Fevil").unwrap();
        assert_eq!(answer.code.as_deref(), Some("aPrx%2B+=="));
        assert_eq!(answer.state.as_deref(), Some("s"));
    }

    #[test]
    fn a_repeated_parameter_is_refused() {
        for query in ["code=a&code=b", "state=a&state=a", "iss=a&x=1&iss=b", "error=a&error=b", "code=&code="] {
            assert_eq!(read_answer(query).unwrap_err().refusal, Refusal::ParameterRepeated, "{query}");
        }
        assert!(read_answer("x=1&x=2").is_ok());
    }

    #[test]
    fn a_huge_parameter_is_refused() {
        let query = format!("state={}", "a".repeat(LONGEST_PARAMETER + 1));
        assert_eq!(read_answer(&query).unwrap_err().refusal, Refusal::CallbackIncomplete);
    }
}
