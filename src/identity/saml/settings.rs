//! What a `[provider.NAME]` of `protocol = "saml"` says, already typed.
//!
//! Called by `config`, which fills it, and by everything in `saml`.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::http::origin::is_loopback;
use crate::identity::xmldsig::{BadCertificate, BadKey, Certificate, DecryptionKey, Sha1, SigningKey, Trust};
use crate::identity::{OrgId, ProviderName};

/// The most that `clock_skew` may be.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(180);

/// What a `[provider.NAME]` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The table's name.
    pub name: ProviderName,
    /// The identity provider's entity id: the org's My Domain, even where a site signs in.
    pub issuer: String,
    /// Where people sign in.
    pub sso_url: Url,
    /// How they are sent there.
    pub binding: Binding,
    /// Where people sign out, when single logout is on.
    pub sign_out: Option<SignOut>,
    /// The certificates whose keys are believed.
    pub certificates: Vec<Certificate>,
    /// Our own entity id.
    pub entity_id: String,
    /// Our own key, for signing and for encrypted assertions.
    pub key: Option<Arc<OurKey>>,
    /// Whether questions are signed; needs `key`.
    pub requests: Requests,
    /// Whether people must authenticate anew.
    pub reauthentication: Reauthentication,
    /// Whether people may come in from a link in Salesforce.
    pub unsolicited: Unsolicited,
    /// Whose users they are.
    pub organization: Organization,
    /// How far Salesforce's clock and ours may differ; more than [`MAX_CLOCK_SKEW`] counts as that.
    pub clock_skew: Duration,
    /// Whether SHA-1 is believed.
    pub sha1: Sha1,
}

/// How a message travels through the browser (SAML bindings sections 3.4 and 3.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// In the address.
    #[default]
    Redirect,
    /// In a form that sends itself.
    Post,
}

/// Where people sign out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignOut {
    /// The address.
    pub url: Url,
    /// How they are sent there.
    pub binding: Binding,
}

/// Whether questions are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requests {
    /// As they are.
    #[default]
    Unsigned,
    /// With our key ("Verify Request Signatures").
    Signed,
}

/// Whether people must authenticate anew (`ForceAuthn`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reauthentication {
    /// A session at Salesforce will do.
    #[default]
    Unneeded,
    /// They must, and the answer must say so.
    Required,
}

/// Whether an answer may come to no question (IdP-initiated sign-in).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsolicited {
    /// It may not: anybody could plant their own sign-in in somebody else's browser.
    #[default]
    Refused,
    /// It may.
    Accepted,
}

/// Whose users an identity provider has. Issuer and certificate already say which organization speaks; this is its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Organization {
    /// As configured.
    Known(OrgId),
    /// In the custom attribute of that name.
    Attribute(String),
}

/// Our own key and the certificate that the identity provider has of it.
#[derive(Debug)]
pub struct OurKey {
    /// For signing.
    pub signing: SigningKey,
    /// For encrypted assertions.
    pub decryption: DecryptionKey,
    /// For our metadata.
    pub certificate: Certificate,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupProblem {
    /// Our key.
    #[error("the private key cannot be used: {0}")]
    Key(#[from] BadKey),
    /// Our certificate.
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[from] BadCertificate),
    /// They do not fit.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    /// Nobody could sign in.
    #[error("`certificate` holds no certificate, so no answer could be believed")]
    NoCertificate,
    /// An address that people would be sent to.
    #[error("{0} must begin with https://")]
    Address(Url),
    /// Signing without a key.
    #[error("signing requests and single logout need a private key")]
    KeyRequired,
    /// More than [`MAX_CLOCK_SKEW`].
    #[error("`clock_skew` must be at most 3 minutes")]
    ClockSkew,
}

impl OurKey {
    /// The key and its certificate, both in PEM.
    ///
    /// # Errors
    /// [`SetupProblem`], when one of them cannot be used or they do not fit.
    pub fn from_pem(key: &str, certificate: &str) -> Result<Self, SetupProblem> {
        let signing = SigningKey::from_pem(key)?;
        let certificates = Certificate::from_pem(certificate)?;
        let certificate = certificates.into_iter().next().ok_or(BadCertificate::None)?;
        if !signing.belongs_to(&certificate) {
            return Err(SetupProblem::Mismatch);
        }
        Ok(Self { signing, decryption: DecryptionKey::from_pem(key)?, certificate })
    }
}

/// Whether people may be sent to an address: never to a script, and in plain text only on this very machine.
pub(super) fn is_safe(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(url),
        _ => false,
    }
}

impl Settings {
    /// Judges what can be judged alone.
    ///
    /// # Errors
    /// [`SetupProblem`], the first one found.
    pub fn check(&self) -> Result<(), SetupProblem> {
        if self.certificates.is_empty() {
            return Err(SetupProblem::NoCertificate);
        }
        let addresses = [Some(&self.sso_url), self.sign_out.as_ref().map(|there| &there.url)];
        if let Some(url) = addresses.into_iter().flatten().find(|url| !is_safe(url)) {
            return Err(SetupProblem::Address(url.clone()));
        }
        if self.key.is_none() && (self.requests == Requests::Signed || self.sign_out.is_some()) {
            return Err(SetupProblem::KeyRequired);
        }
        if self.clock_skew > MAX_CLOCK_SKEW {
            return Err(SetupProblem::ClockSkew);
        }
        Ok(())
    }

    pub(super) fn trust(&self) -> Trust<'_> {
        Trust { certificates: &self.certificates, sha1: self.sha1 }
    }

    pub(super) fn skew(&self) -> Duration {
        self.clock_skew.min(MAX_CLOCK_SKEW)
    }
}
