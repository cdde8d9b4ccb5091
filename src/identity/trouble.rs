//! What went wrong between us and a provider, before anybody is told: small, cloneable, without secrets.
//!
//! A `Fault` belongs to one sign-in; a `Trouble` may also be remembered, so that a provider that is down is
//! not asked again by everybody who waits. Called by the rest of this family.

use super::{Fault, ProviderReason};
use crate::http::client::{MAX_ANSWER, Problem};
use crate::refusal::salesforce::SalesforceError;

/// The most characters of a provider's words that reach a log line.
const MAX_WORDS: usize = 200;

/// A provider's failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::identity) enum Trouble {
    /// No answer, or one that says "later".
    #[error("{0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("{0}")]
    TimedOut(String),
    /// An answer that a sign-in must not be built on.
    #[error("{reason:?}: {detail}")]
    Misbehaved { reason: ProviderReason, detail: String },
    /// A refusal in the provider's own words.
    #[error("{error}")]
    Refused { error: String, description: Option<String> },
}

impl Trouble {
    /// An answer that was refused; `detail` is cleaned.
    pub(in crate::identity) fn misbehaved(reason: ProviderReason, detail: impl AsRef<str>) -> Self {
        Self::Misbehaved { reason, detail: clean(detail.as_ref()) }
    }

    /// What is told to whom it concerns.
    pub(in crate::identity) fn into_fault(self) -> Fault {
        match self {
            Self::Unreachable(cause) => Fault::ProviderUnreachable(clean(&cause)),
            Self::TimedOut(cause) => Fault::ProviderTimeout(clean(&cause)),
            Self::Misbehaved { reason, detail } => Fault::ProviderMisbehaved { reason, detail },
            Self::Refused { error, description } => {
                let detail = match &description {
                    Some(description) => clean(&format!("{error}: {description}")),
                    None => clean(&error),
                };
                Fault::ProviderRefused { error: SalesforceError::recognise(&error, description.as_deref()), detail }
            }
        }
    }
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        trouble.into_fault()
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::TooLarge => Self::misbehaved(
                ProviderReason::AnswerTooLarge,
                format!("the answer is larger than {MAX_ANSWER} bytes"),
            ),
            Problem::TimedOut(_) => Self::TimedOut(problem.to_string()),
            Problem::Address(_) | Problem::Unreachable(_) => Self::Unreachable(problem.to_string()),
        }
    }
}

/// A stranger's words, fit for one log line: control characters become spaces, and there is an end.
pub(in crate::identity) fn clean(words: &str) -> String {
    words.chars().take(MAX_WORDS).map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_refusal_keeps_the_providers_words_for_the_log() {
        let trouble = Trouble::Refused {
            error: "invalid_grant".to_owned(),
            description: Some("expired\r\nauthorization code".to_owned()),
        };
        let Fault::ProviderRefused { detail, .. } = trouble.into_fault() else { panic!("a refusal") };
        assert_eq!(detail, "invalid_grant: expired  authorization code");
    }

    #[test]
    fn a_provider_that_takes_too_long_is_told_from_one_that_is_gone() {
        let slow = Trouble::from(Problem::TimedOut(std::time::Duration::from_secs(1))).into_fault();
        assert!(matches!(slow, Fault::ProviderTimeout(_)));
        let gone = Trouble::from(Problem::Unreachable("connection refused".to_owned())).into_fault();
        assert!(matches!(gone, Fault::ProviderUnreachable(_)));
    }

    #[test]
    fn an_answer_beyond_the_limit_is_the_providers_fault() {
        let fault = Trouble::from(Problem::TooLarge).into_fault();
        assert!(matches!(fault, Fault::ProviderMisbehaved { reason: ProviderReason::AnswerTooLarge, .. }));
    }

    proptest! {
        #[test]
        fn cleaned_words_fit_one_short_line(words in any::<String>()) {
            let cleaned = clean(&words);
            prop_assert!(cleaned.chars().count() <= MAX_WORDS);
            prop_assert!(!cleaned.chars().any(char::is_control));
        }
    }
}
