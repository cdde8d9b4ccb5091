//! What every sign-in ends in, whichever way the provider's word came: the rules, and then a session.
//!
//! Nothing here knows which protocol it was. The session gets a fresh id, and the browser leaves the address that
//! it came to at once. Called by `login::callback` and `login::acs`.

use hyper::header::{HeaderValue, REFERRER_POLICY};

use super::{Entrance, Login, Visitor, faults, loop_breaker, set_cookies};
use crate::http::path::LocalPath;
use crate::http::{Response, see_other};
use crate::identity::SignedIn;
use crate::policy::may_sign_in;
use crate::refusal::Refusal;
use crate::session::attempt::{AttemptId, NoAttempt, Unspendable};
use crate::session::cookie::{self, Keep};
use crate::session::memory::Beginning;
use crate::session::{SessionKey, SiteIndex};

impl Login {
    /// Lets somebody in whom the entrance's provider vouches for, if its rules do. `state` names the attempt, when
    /// there was one, and `replaces` the session that the browser had when it began.
    pub(super) fn arrive(
        &self,
        entrance: &Entrance,
        signed_in: SignedIn,
        state: Option<&str>,
        replaces: Option<SessionKey>,
        return_to: &LocalPath,
        visitor: &Visitor<'_>,
    ) -> Result<Response, Refusal> {
        let rules = &entrance.rules;
        may_sign_in(signed_in.identity(), rules).map_err(|why| faults::not_allowed(why, signed_in.identity()))?;
        let headers = self.injector.render(signed_in.identity());
        let beginning = Beginning {
            site: SiteIndex(visitor.site.index),
            attempt: state.map(AttemptId::of),
            return_to: return_to.clone(),
        };
        let new =
            self.sessions.create(signed_in, headers, beginning, visitor.now).map_err(|_| Refusal::NoRandomness)?;
        let here = visitor.session.as_ref().map(|(key, _)| *key);
        for previous in replaces.into_iter().chain(here) {
            self.sessions.end(&previous);
        }
        tracing::info!(user = %new.session.key().as_str(), provider = %new.session.provider(), "signed in");
        let mut response = back_to(return_to);
        let session = cookie::line(self.cookies, self.cookies.session_name(), new.id.expose(), Keep::UntilClosed);
        let travel = entrance.travel();
        let forgotten = state.and_then(|state| self.attempts.forget(state, travel));
        let counted = loop_breaker::count_one(visitor.headers, self.cookies, self.attempts.travel());
        set_cookies(&mut response, [session, forgotten, counted].into_iter().flatten());
        Ok(response)
    }
}

/// Away from the provider's way in at once: a callback's address holds a code (RFC 9700 sections 4.2 and 4.3).
pub(super) fn back_to(path: &LocalPath) -> Response {
    let mut response = see_other(path.as_str());
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

impl From<NoAttempt> for Refusal {
    fn from(why: NoAttempt) -> Self {
        match why {
            NoAttempt::Missing => Self::AttemptMissing,
            NoAttempt::Forged => Self::AttemptForged,
            NoAttempt::Expired => Self::AttemptExpired,
        }
    }
}

impl From<Unspendable> for Refusal {
    fn from(why: Unspendable) -> Self {
        match why {
            Unspendable::Already => Self::AttemptUsed,
            Unspendable::Full => {
                Self::Overloaded { cause: "too many sign-ins of late to remember one more".to_owned() }
            }
        }
    }
}
