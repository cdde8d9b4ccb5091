//! OpenID Connect with Salesforce: the web server flow with PKCE (RFC 6749, RFC 7636, OpenID Connect Core).
//!
//! The order of checks *is* the security of this file: `state` before anything else, the ID token before
//! userinfo, and a `SignedIn` only when every answer spoke of the same person. Called by `identity::Provider`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{Answer, Attempt, Begun, Fault, ProviderName, SignedIn, salesforce::OrgId};
use crate::clock::Timestamp;
use crate::http::path::LocalPath;
use crate::secret::Secret;

/// What `[provider.NAME]` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The table's name.
    pub name: ProviderName,
    /// The org's address: My Domain, sandbox, Experience Cloud site with its path, or a login host.
    pub org: Url,
    /// The consumer key.
    pub client_id: String,
    /// How the gateway proves to the token endpoint who it is.
    pub client: ClientAuthentication,
    /// Whose users may sign in; empty means anybody whom the org's address vouches for.
    pub organizations: Vec<OrgId>,
    /// Which kinds of users may sign in.
    pub user_types: UserTypes,
    /// What is asked of Salesforce; must hold `openid`.
    pub scopes: Vec<String>,
    /// How userinfo is asked.
    pub userinfo: UserInfoMethod,
    /// How far Salesforce's clock and ours may differ; at most [`MAX_CLOCK_SKEW`].
    pub clock_skew: Duration,
    /// For each question to the provider, from connecting to the last byte.
    pub timeout: Duration,
    /// Certificates (PEM) to trust beside the system's.
    pub ca: Option<PathBuf>,
}

/// The most that `clock_skew` may be: ID tokens live for two minutes.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(180);

/// What is asked for unless the configuration says otherwise. Never `full`, `api` or `web`: such an access
/// token is a session in the user's CRM.
pub const DEFAULT_SCOPES: [&str; 3] = ["openid", "profile", "email"];

/// How the gateway proves to the token endpoint who it is.
#[derive(Clone, Debug)]
pub enum ClientAuthentication {
    /// The consumer secret in the form: works everywhere.
    SecretPost(Secret<String>),
    /// The consumer secret in `Authorization`: advertised by Salesforce, but has failed in the field.
    SecretBasic(Secret<String>),
    /// A JWT signed with a key whose certificate was uploaded to the app (RFC 7523).
    PrivateKeyJwt {
        /// RSA, PKCS#8 or PKCS#1 in PEM.
        key_pem: Secret<String>,
        /// `kid`, when the provider knows several keys.
        key_id: Option<String>,
    },
    /// None: "Require Secret for Web Server Flow" is unticked, PKCE alone protects the code.
    Public,
}

/// Which `user_type`s may sign in: an allow-list, because Salesforce's list of portal kinds is its own affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserTypes {
    /// Only these.
    Only(Vec<String>),
    /// Whoever the org lets use the app: partners and customers included.
    Any,
}

impl Default for UserTypes {
    fn default() -> Self {
        Self::Only(vec!["STANDARD".to_owned()])
    }
}

/// How userinfo is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserInfoMethod {
    /// GET, as Salesforce documents.
    #[default]
    Get,
    /// POST, as OpenID Connect also allows.
    Post,
}

/// Why a provider cannot be made of its settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupProblem {
    /// Neither https nor this very machine.
    #[error("`org` must begin with https://")]
    OrgScheme,
    /// A query, fragment or user name.
    #[error("`org` must be a host and at most a path")]
    OrgShape,
    /// A login host shared by all orgs, without a list of organizations.
    #[error(
        "`organizations` is required: {0} signs in the users of every Salesforce org, so without it anybody with any org could come in"
    )]
    OrganizationsRequired(String),
    /// No consumer key.
    #[error("`client_id` is empty")]
    NoClientId,
    /// An empty consumer secret.
    #[error("`client_secret` is empty; leave it out when the app requires none")]
    EmptySecret,
    /// `openid` is not asked for.
    #[error("`scopes` must hold `openid`")]
    NoOpenId,
    /// More than [`MAX_CLOCK_SKEW`].
    #[error("`clock_skew` must be at most 3 minutes: Salesforce's ID tokens live for two")]
    ClockSkew,
    /// The client's private key is unreadable.
    #[error("the private key is no RSA key of at least 2048 bits in PEM")]
    PrivateKey,
    /// The HTTP client could not be made.
    #[error(transparent)]
    Client(#[from] crate::http::client::SetupProblem),
}

/// What `check --live` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The issuer.
    pub issuer: String,
    /// Where browsers are sent to sign in.
    pub authorization_endpoint: String,
    /// Where codes are exchanged.
    pub token_endpoint: String,
    /// Where people are described.
    pub userinfo_endpoint: String,
    /// Where keys are published.
    pub jwks_uri: String,
    /// The ids of the keys that may sign ID tokens.
    pub usable_keys: Vec<String>,
    /// The other keys, each with the reason.
    pub ignored_keys: Vec<(String, &'static str)>,
    /// How far the provider's clock is ahead of ours, in seconds, when it told its time.
    pub clock_ahead: Option<i64>,
}

/// One Salesforce org as an identity provider.
pub struct Provider {
    settings: Settings,
}

impl Provider {
    /// Checks the settings and reads the keys; speaks to nobody yet.
    ///
    /// # Errors
    /// [`SetupProblem`] says what to change.
    pub fn new(settings: Settings) -> Result<Self, SetupProblem> {
        Ok(Self { settings })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &ProviderName {
        &self.settings.name
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// See [`super::Provider::begin`].
    ///
    /// # Errors
    /// When discovery cannot be had or is not to be trusted.
    pub async fn begin(
        &self,
        _origin: &str,
        _callback: &str,
        _return_to: LocalPath,
        _now: Timestamp,
    ) -> Result<Begun, Fault> {
        Err(Fault::ProviderUnreachable("not built yet".to_owned()))
    }

    /// See [`super::Provider::complete`].
    ///
    /// # Errors
    /// Whatever was wrong, by whose fault.
    pub async fn complete(
        &self,
        _attempt: Attempt,
        _callback: &str,
        _answer: Answer,
        _now: Timestamp,
    ) -> Result<SignedIn, Fault> {
        Err(Fault::ProviderUnreachable("not built yet".to_owned()))
    }

    /// Fetches discovery and keys, so that the first sign-in need not: readiness asks this.
    ///
    /// # Errors
    /// When either cannot be had or is not to be trusted.
    pub async fn warm(&self) -> Result<(), Fault> {
        Err(Fault::ProviderUnreachable("not built yet".to_owned()))
    }

    /// Asks the provider afresh, for `check --live`.
    ///
    /// # Errors
    /// When discovery or keys cannot be had or are not to be trusted.
    pub async fn inspect(&self, _now: Timestamp) -> Result<Inspection, Fault> {
        Err(Fault::ProviderUnreachable("not built yet".to_owned()))
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("name", &self.settings.name).field("org", &self.settings.org.as_str()).finish()
    }
}
