//! Why there is no certificate, and whose fault that is.
//!
//! Authorities explain themselves at length and in words of others; what is passed on of that is bounded and holds
//! no control characters. Made by `order`, told and counted by `gateway`, weighed by `schedule`.

use std::time::Duration;

use instant_acme::Error;

use super::challenge::Unmade;
use super::folder::Unkept;
use crate::clock::Timestamp;
use crate::http::client;

/// How much of an authority's explanation is passed on, in characters.
const WORDS: usize = 600;

/// What the authority says of an account that it does not know (RFC 8555 section 6.7).
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
/// What it says of a question whose number it has forgotten: "a client SHOULD retry the request" (section 6.5), which
/// the library has done three times by then.
const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";

/// Why an order came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Another process that shares the folder is ordering.
    #[error("another gateway is ordering certificates into this folder")]
    Taken,
    /// The folder.
    #[error(transparent)]
    Folder(#[from] Unkept),
    /// No answer.
    #[error("the authority gives no answer: {0}")]
    Unreachable(String),
    /// The authority does not want to.
    #[error("the authority refuses: {words}")]
    Refused {
        /// Its words.
        words: String,
        /// When it may be asked again, if it said so.
        after: Option<RetryAfter>,
        /// What for, as far as it matters here.
        cause: Cause,
    },
    /// The authority could not convince itself that the host is ours.
    #[error("the authority could not prove that the host is ours (tls-alpn-01, at its port 443): {0}")]
    Unproven(String),
    /// The authority offers no challenge that is answered here.
    #[error("the authority offers no {0} challenge for this host")]
    NoChallenge(&'static str),
    /// The authority says what cannot be understood.
    #[error("the authority's answer cannot be understood: {0}")]
    Misbehaved(String),
    /// The certificate came and is of no use.
    #[error("the authority's certificate cannot be used: {0}")]
    Unusable(String),
    /// It took too long.
    #[error("the order was not done within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// Nothing can be made here.
    #[error(transparent)]
    Unmade(#[from] Unmade),
}

/// What an authority refuses for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It does not know the account.
    NoAccount,
    /// It has forgotten which numbers it gave out.
    Nonce,
    /// Its words say it.
    Other,
}

/// When somebody who is too busy may be asked again (RFC 9110 section 10.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// After so long.
    Span(Duration),
    /// At that time.
    Moment(Timestamp),
}

impl RetryAfter {
    /// How long that is from `now`.
    pub fn from(self, now: Timestamp) -> Duration {
        match self {
            Self::Span(span) => span,
            Self::Moment(moment) => moment.since(now),
        }
    }
}

impl Fault {
    /// What the library says, with what was heard in the last answer.
    pub(super) fn of(error: Error, after: Option<RetryAfter>) -> Self {
        match error {
            Error::Api(problem) => Self::Refused {
                cause: match problem.r#type.as_deref() {
                    Some(NO_ACCOUNT) => Cause::NoAccount,
                    Some(BAD_NONCE) => Cause::Nonce,
                    _ => Cause::Other,
                },
                words: words(&problem),
                after,
            },
            Error::Other(cause) => match cause.downcast_ref::<client::Problem>() {
                Some(problem) => Self::Unreachable(plain(&problem.to_string())),
                None => Self::Misbehaved(plain(&cause.to_string())),
            },
            Error::Timeout(_) => Self::Misbehaved("the order stays as it is, for too long".to_owned()),
            other => Self::Misbehaved(plain(&other.to_string())),
        }
    }

    /// When the authority wants to be asked again, if it said so.
    pub fn retry_after(&self) -> Option<RetryAfter> {
        match self {
            Self::Refused { after, .. } => *after,
            _ => None,
        }
    }
}

/// What an authority says, without the name that the library gives it.
pub(super) fn words(problem: &instant_acme::Problem) -> String {
    let words = problem.to_string();
    plain(words.strip_prefix("API error: ").unwrap_or(&words))
}

/// Somebody else's words, bounded and on one line.
fn plain(words: &str) -> String {
    words.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authoritys_words_are_bounded_and_on_one_line() {
        let problem: instant_acme::Problem =
            serde_json::from_value(serde_json::json!({"detail": format!("no\r\n\u{1b}[31m{}", "x".repeat(9_000))}))
                .unwrap();
        let words = Fault::of(Error::Api(problem), None).to_string();
        assert!(words.chars().count() < WORDS + 50 && !words.chars().any(char::is_control), "{words}");
    }

    #[test]
    fn an_account_that_is_not_known_is_told_from_others() {
        let fault = |kind: &str| {
            let problem = serde_json::from_value(serde_json::json!({ "type": kind })).unwrap();
            Fault::of(Error::Api(problem), None)
        };
        assert!(matches!(fault(NO_ACCOUNT), Fault::Refused { cause: Cause::NoAccount, .. }));
        assert!(matches!(fault(BAD_NONCE), Fault::Refused { cause: Cause::Nonce, .. }));
        let limited = fault("urn:ietf:params:acme:error:rateLimited");
        assert!(matches!(limited, Fault::Refused { cause: Cause::Other, .. }));
    }

    #[test]
    fn silence_is_told_from_nonsense() {
        let silent = Error::Other(Box::new(client::Problem::Unreachable("no connection".to_owned())));
        assert!(matches!(Fault::of(silent, None), Fault::Unreachable(_)));
        let nonsense = Error::Json(serde_json::from_str::<u8>("<html>").unwrap_err());
        assert!(matches!(Fault::of(nonsense, None), Fault::Misbehaved(_)));
    }
}
