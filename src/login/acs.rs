//! The end of a sign-in by SAML: Salesforce has had the browser post its answer here.
//!
//! `RelayState` names the attempt, as `state` does in OAuth, and is followed nowhere; so the order is that of
//! `login::callback`: the attempt of *this* browser, its one use, the message and its one use, the rules, a
//! session. Without such a `RelayState` nobody here asked, and the provider's settings say whether that is
//! allowed. The session cookie does not come along with a form of another site, the attempt's does. Called by
//! `login`.

use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;

use super::callback::already_signed_in;
use super::{Declined, Entrance, Login, Visitor, faults};
use crate::http::path::LocalPath;
use crate::http::{Body, BodyFault, Response};
use crate::identity::saml;
use crate::refusal::{Refusal, SamlDoubt};
use crate::session::attempt::{AttemptId, Opened};
use crate::session::cookie::Travel;

/// The length of an attempt's `state`.
const STATE: usize = 43;

/// So much of a body that is too large is read all the same, in bytes.
const MOST_THROWN_AWAY: usize = 16 * 1024 * 1024;

/// The fields of a form that matter, each at most once.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) request: Option<String>,
    pub(super) response: Option<String>,
    pub(super) relay_state: Option<String>,
}

impl Login {
    pub(super) async fn acs(
        &self,
        entrance: &Entrance,
        provider: &saml::Provider,
        body: Body,
        visitor: &Visitor<'_>,
    ) -> Result<Response, Declined> {
        let outcome = self.consume(entrance, provider, body, visitor).await;
        self.record(entrance, outcome)
    }

    async fn consume(
        &self,
        entrance: &Entrance,
        provider: &saml::Provider,
        body: Body,
        visitor: &Visitor<'_>,
    ) -> Result<Response, Declined> {
        let fields = self.read_form(body, visitor.headers).await?;
        let response = fields.response.ok_or_else(|| doubted(SamlDoubt::Unreadable, "there is no SAMLResponse"))?;
        let relay_state = fields.relay_state.as_deref();
        let Some(state) = relay_state.filter(|text| is_state(text)) else {
            return Ok(self.admit(entrance, provider, None, &response, relay_state, visitor)?);
        };
        let id = AttemptId::of(state);
        if self.attempts.is_spent(id) {
            return already_signed_in(visitor, Some(id), Refusal::AttemptUsed);
        }
        let opened = match self.attempts.open(state, visitor.headers, visitor.now) {
            Ok(opened) => opened,
            Err(why) => return Err(self.without(state, Travel::Forms, Refusal::from(why).into())),
        };
        let attempt = &opened.attempt;
        if attempt.origin != visitor.site.origin.as_str() {
            return Err(self.without(state, Travel::Forms, Refusal::AttemptForged.into()));
        }
        if let Err(why) = self.attempts.spend(id, visitor.now) {
            return already_signed_in(visitor, Some(id), why.into());
        }
        self.admit(entrance, provider, Some(&opened), &response, relay_state, visitor).map_err(|refusal| {
            let (return_to, provider) = (Some(attempt.return_to.clone()), Some(attempt.provider.clone()));
            let declined = Declined { refusal, return_to, provider, cookies: Vec::new() };
            self.without(state, Travel::of(&attempt.secrets), declined)
        })
    }

    fn admit(
        &self,
        entrance: &Entrance,
        provider: &saml::Provider,
        opened: Option<&Opened>,
        response: &str,
        relay_state: Option<&str>,
        visitor: &Visitor<'_>,
    ) -> Result<Response, Refusal> {
        let here = self.callback_address(entrance, visitor);
        let attempt = opened.map(|opened| &opened.attempt);
        let accepted =
            provider.complete(attempt, response, relay_state, &here, visitor.now).map_err(faults::refusal)?;
        let used = |_| doubted(SamlDoubt::Replayed, "an assertion that was used before");
        let id = entrance.own(&accepted.assertion_id);
        self.once.claim(&id, accepted.remember_until, visitor.now).map_err(used)?;
        let return_to = attempt.map(|attempt| attempt.return_to.clone()).or(accepted.return_to);
        let state = attempt.map(|attempt| attempt.state.as_str());
        let replaces = opened.and_then(|opened| opened.replaces);
        self.arrive(entrance, accepted.signed_in, state, replaces, &return_to.unwrap_or_else(LocalPath::root), visitor)
    }

    /// The fields of a posted form. Others are ignored.
    pub(super) async fn read_form(&self, body: Body, headers: &HeaderMap) -> Result<Fields, Refusal> {
        let is_form = headers.get(CONTENT_TYPE).and_then(|line| line.to_str().ok()).is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        let body = read(body, self.body_limit).await?;
        if is_form { read_fields(&body) } else { Err(doubted(SamlDoubt::Unreadable, "it is no form")) }
    }
}

/// Reads a body of at most `limit` bytes. What is beyond is thrown away as it comes, up to a point: whoever is
/// still sending when the connection closes sees an error of the network and not our page.
async fn read(mut body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut kept = Vec::new();
    let mut size = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::from(BodyFault::of(&*error)))?;
        let Some(data) = frame.data_ref() else { continue };
        size = size.saturating_add(data.len());
        if size <= limit {
            kept.extend_from_slice(data);
        } else if size > MOST_THROWN_AWAY {
            break;
        }
    }
    if size > limit { Err(Refusal::BodyTooLarge) } else { Ok(kept) }
}

/// A doubt of our own about what was posted.
pub(super) fn doubted(doubt: SamlDoubt, cause: &str) -> Refusal {
    Refusal::SamlDoubted { doubt, cause: cause.to_owned() }
}

/// Whether a `RelayState` is one of ours: `state` of an attempt, which no local path is.
fn is_state(text: &str) -> bool {
    text.len() == STATE && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn read_fields(body: &[u8]) -> Result<Fields, Refusal> {
    let mut fields = Fields::default();
    for (name, value) in url::form_urlencoded::parse(body) {
        let slot = match &*name {
            "SAMLRequest" => &mut fields.request,
            "SAMLResponse" => &mut fields.response,
            "RelayState" => &mut fields.relay_state,
            _ => continue,
        };
        if slot.replace(value.into_owned()).is_some() {
            return Err(Refusal::ParameterRepeated);
        }
    }
    // An empty RelayState is none.
    fields.relay_state = fields.relay_state.filter(|state| !state.is_empty());
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_field_is_refused() {
        for body in ["SAMLResponse=a&SAMLResponse=a", "RelayState=&RelayState=x", "SAMLRequest=&a=1&SAMLRequest="] {
            assert_eq!(read_fields(body.as_bytes()).unwrap_err(), Refusal::ParameterRepeated, "{body}");
        }
        let fields = read_fields(b"SAMLResponse=YQ%3D%3D&RelayState=&x=1&x=2").unwrap();
        assert_eq!((fields.response.as_deref(), fields.relay_state), (Some("YQ=="), None));
    }

    #[test]
    fn a_state_is_told_from_a_path() {
        assert!(is_state(&crate::secret::random_token().unwrap()));
        for text in ["", "/", &format!("/{}", "a".repeat(42)), &"a".repeat(42), &"a".repeat(44), &"=".repeat(43)] {
            assert!(!is_state(text), "{text}");
        }
    }
}
