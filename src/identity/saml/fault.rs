//! Why a SAML message was not accepted: one reason for each check, and what was seen instead.
//!
//! What was seen may come from a stranger, so it is cut short and its control characters are made visible; it is for
//! the log alone. Made by `consume`, `assertion` and `logout`; mapped to words by `login`.

use super::Reason;
use crate::identity::xmldsig::{BadSignature, NotXml, Oddity, Undecryptable};

/// A message that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason:?}: {detail}")]
pub struct Fault {
    /// Which check failed.
    pub reason: Reason,
    /// What was seen instead, for the operator's log.
    pub detail: String,
}

/// What is shown of a stranger's text.
const LONGEST: usize = 200;

impl Fault {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// A value that is not the one it should be.
    pub(super) fn unlike(reason: Reason, what: &str, found: Option<&str>, wanted: &str) -> Self {
        let found = found.map_or_else(|| "missing".to_owned(), shown);
        Self::new(reason, format!("{what} is {found}, not {wanted:?}"))
    }
}

/// A stranger's text, fit for a log.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(LONGEST).collect();
    let rest = if short.len() < text.len() { "..." } else { "" };
    format!("{short:?}{rest}")
}

impl From<NotXml> for Fault {
    fn from(problem: NotXml) -> Self {
        let reason = match problem {
            NotXml::Excess(_) => Reason::TooMuch,
            NotXml::Malformed(_) => Reason::Unreadable,
        };
        // The parser repeats names of the text, however long, and single bytes as they are.
        let words = problem.to_string();
        Self::new(reason, words.chars().take(LONGEST).flat_map(char::escape_debug).collect::<String>())
    }
}

impl From<Oddity> for Fault {
    fn from(oddity: Oddity) -> Self {
        Self::new(Reason::Shape, oddity.to_string())
    }
}

impl From<BadSignature> for Fault {
    fn from(problem: BadSignature) -> Self {
        let reason = match problem {
            BadSignature::Shape(_) => Reason::SignatureShape,
            BadSignature::Reference => Reason::SignatureReference,
            BadSignature::Sha1 => Reason::SignatureSha1,
            BadSignature::Algorithm => Reason::SignatureAlgorithm,
            BadSignature::Key => Reason::SignatureKey,
            BadSignature::Digest => Reason::SignatureDigest,
        };
        Self::new(reason, problem.to_string())
    }
}

impl From<Undecryptable> for Fault {
    fn from(problem: Undecryptable) -> Self {
        Self::new(Reason::Undecryptable, problem.to_string())
    }
}
