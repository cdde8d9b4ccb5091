//! Who somebody is, and the proof that an identity provider said so.
//!
//! `SignedIn` can be made only inside this family, by a provider's `complete`, after everything was verified:
//! `session` consumes one to make a session, so there is no other way to be signed in. Called by `login`.

pub mod jwt;
pub mod oidc;
mod provider;
pub mod salesforce;
pub mod saml;
#[cfg(test)]
mod trial;
mod trouble;
pub mod xmldsig;

use std::fmt;

use crate::clock::Timestamp;
use crate::http::path::LocalPath;
use crate::refusal::salesforce::SalesforceError;

use crate::secret::NoRandomness;

pub use crate::refusal::ProviderDoubt as ProviderReason;
pub use provider::{Account, Addresses, Entry, Paths, Provider, Settings, SetupProblem};
pub use salesforce::{OrgId, UserId};

/// The name of a `[provider.NAME]` table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ProviderName(pub String);

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A person, as the identity provider described them at sign-in.
///
/// The key is (organization, user): user ids repeat in sandboxes copied from one production org, and e-mail
/// addresses and usernames belong to nobody for ever.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The Salesforce organization, 18 characters.
    pub organization: OrgId,
    /// The Salesforce user, 18 characters.
    pub user: UserId,
    /// `preferred_username`: e-mail-shaped, unique, renameable, no mailbox.
    pub username: String,
    /// `email`, when there is one; any administrator of the org can set it to anything.
    pub email: Option<String>,
    /// `name`: for people to read.
    pub name: Option<String>,
    /// `user_type`: `STANDARD` for employees; what portal users have is up to Salesforce.
    pub user_type: Option<String>,
    /// `active`, when the provider says.
    pub active: Option<bool>,
    /// Everything that was said (ID token and userinfo merged, userinfo last), for `[headers.custom]`.
    pub claims: serde_json::Map<String, serde_json::Value>,
}

/// Proof that a provider vouched for an identity in answer to *this* browser's login attempt.
///
/// Its constructor is visible to this family alone.
#[derive(Debug)]
pub struct SignedIn {
    identity: Identity,
    provider: ProviderName,
    handle: Option<Handle>,
    until: Option<Timestamp>,
}

/// What the provider calls this person and this sign-in when either side wants to end it (SAML core section
/// 3.7). Not for apps: a person's key is in [`Identity`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The `NameID`.
    pub name: Box<saml::NameId>,
    /// The `SessionIndex`, when there was one.
    pub index: Option<Box<str>>,
}

impl Handle {
    /// The most that is kept of it, in bytes: Salesforce's are under 200.
    const MOST: usize = 2048;

    /// A handle, unless it is larger than sessions may carry: then the person signs out here alone.
    pub(in crate::identity) fn kept(name: saml::NameId, index: Option<String>) -> Option<Self> {
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let size = name.value.len()
            + name.format.len()
            + optional(&name.name_qualifier)
            + optional(&name.sp_name_qualifier)
            + optional(&index);
        (size <= Self::MOST).then(|| Self { name: Box::new(name), index: index.map(String::into_boxed_str) })
    }
}

impl SignedIn {
    pub(in crate::identity) fn new(identity: Identity, provider: ProviderName) -> Self {
        Self { identity, provider, handle: None, until: None }
    }

    /// With what the provider calls it, and when it says that it ends.
    pub(in crate::identity) fn known_as(self, handle: Option<Handle>, until: Option<Timestamp>) -> Self {
        Self { handle, until, ..self }
    }

    /// What the provider calls it.
    pub fn handle(&self) -> Option<&Handle> {
        self.handle.as_ref()
    }

    /// When the session has to end by the provider's word.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// Who signed in.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Which provider said so.
    pub fn provider(&self) -> &ProviderName {
        &self.provider
    }
}

/// One login attempt, from the redirect to the callback. It travels sealed in the browser (`session::cookie`)
/// and is consumed by [`oidc::Provider::complete`] or [`saml::Provider::complete`].
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Attempt {
    /// The `state` parameter: 256 random bits; also names the attempt.
    pub state: String,
    /// What only the protocol knows, to hold the answer against.
    pub secrets: Secrets,
    /// The provider that the attempt was sent to.
    pub provider: ProviderName,
    /// The public origin that it began at, such as `https://wiki.example.com`.
    pub origin: String,
    /// Where the person wanted to go.
    pub return_to: LocalPath,
    /// When it began.
    pub started: Timestamp,
}

/// What an attempt's answer is held against, by protocol.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Secrets {
    /// OpenID Connect.
    Oidc {
        /// The `nonce` that the ID token must repeat.
        nonce: String,
        /// The PKCE verifier (RFC 7636).
        verifier: String,
    },
    /// SAML.
    Saml {
        /// The `ID` of our request, which `InResponseTo` must repeat.
        request_id: String,
    },
}

/// What a provider asks us to do at the beginning: send the browser there, and keep the attempt.
#[derive(Debug)]
pub struct Begun {
    /// How the browser gets there.
    pub way: Way,
    /// To be sealed into the browser's attempt cookie.
    pub attempt: Attempt,
}

/// How a browser is sent to the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// To this absolute address.
    Redirect(String),
    /// With a form to be posted there.
    Form(Posted),
}

/// A form that a person's browser posts to the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The absolute address.
    pub action: String,
    /// Names and values.
    pub fields: Vec<(&'static str, String)>,
}

/// The parameters of a callback, each at most once (RFC 6749 section 3.1), decoded exactly once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// `code`.
    pub code: Option<String>,
    /// `state`.
    pub state: Option<String>,
    /// `error`.
    pub error: Option<String>,
    /// `error_description`.
    pub error_description: Option<String>,
    /// `iss` (RFC 9207): Salesforce sends none; a wrong one is refused.
    pub issuer: Option<String>,
}

/// Why a sign-in did not succeed, by whose fault it was.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The browser's answer does not belong to an attempt of this browser.
    #[error("the browser's answer was refused: {0:?}")]
    BrowserMisbehaved(BrowserReason),
    /// The provider could not be reached.
    #[error("the identity provider could not be reached: {0}")]
    ProviderUnreachable(String),
    /// The provider did not answer in time.
    #[error("the identity provider did not answer in time: {0}")]
    ProviderTimeout(String),
    /// The provider answered something that a sign-in must not be built on.
    #[error("the identity provider's answer was refused: {reason:?}: {detail}")]
    ProviderMisbehaved {
        /// Which check failed.
        reason: ProviderReason,
        /// For the operator's log; never a token.
        detail: String,
    },
    /// Salesforce said no, with one of its own codes.
    #[error("Salesforce refused: {error:?}: {detail}")]
    ProviderRefused {
        /// The code, recognised.
        error: SalesforceError,
        /// `error` and `error_description` as sent, cleaned for the log.
        detail: String,
    },
    /// A SAML message failed a check.
    #[error(transparent)]
    Saml(#[from] saml::Fault),
    /// A message of ours could not be signed.
    #[error("a message for the identity provider could not be made: {0}")]
    OurKey(String),
    /// The system's random source failed.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// What was wrong with the browser's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrowserReason {
    /// Neither `code` nor `error`.
    NoCode,
    /// `state` missing or another attempt's.
    StateMismatch,
    /// The answer names another issuer than the attempt was sent to (mix-up, RFC 9207).
    IssuerMismatch,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Somebody of organization `00D5g00000ABCDE`.
    pub(crate) fn identity() -> Identity {
        let claims = serde_json::json!({
            "preferred_username": "ada@acme.example",
            "email": "ada@acme.example",
            "name": "Ada Lovelace",
            "user_type": "STANDARD",
            "active": true,
            "custom_attributes": { "department": "Engines" },
        });
        let serde_json::Value::Object(claims) = claims else { unreachable!() };
        let organization = OrgId::parse("00D5g00000ABCDE").unwrap();
        salesforce::read_identity(organization, UserId::parse("0055g00000FGHIJ").unwrap(), claims)
    }

    /// A sign-in as tests of the domain need it; the real ones come from a provider's `complete`.
    pub(crate) fn signed_in() -> SignedIn {
        SignedIn::new(identity(), ProviderName("salesforce".to_owned()))
    }

    /// The same, by a provider that can end it.
    pub(crate) fn signed_in_as(subject: &str, index: Option<&str>, until: Option<Timestamp>) -> SignedIn {
        let name = saml::NameId {
            value: subject.to_owned(),
            format: "unspecified".to_owned(),
            name_qualifier: None,
            sp_name_qualifier: None,
        };
        let handle = Handle { name: Box::new(name), index: index.map(Into::into) };
        signed_in().known_as(Some(handle), until)
    }
}
