//! How the pretend org and its one app are set up, in the terms of Salesforce's Setup pages.
//!
//! The defaults are what an administrator gets by following our own documentation: PKCE required, a secret, the
//! scopes `openid profile email`, an ID token without standard claims. Filled by tests and by `demo`.

use std::sync::Arc;
use std::time::Duration;

use super::keys::KeyRing;
use super::mischief::Mischief;
use super::saml::SamlApp;

/// The pretend org.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its one app.
    pub app: App,
    /// Whether `id` and `sub` are on `login.salesforce.com` or `test.salesforce.com` (behaviour 6).
    pub kind: OrgKind,
    /// How an unknown browser is sent to the sign-in page (behaviour 10).
    pub redirects: Redirects,
    /// The keys; made at the start when absent, which takes a second or two. Tests share a ring.
    pub keys: Option<Arc<KeyRing>>,
    /// How large new keys are.
    pub key_size: KeySize,
    /// Which port My Domain listens on; 0 for any free one.
    pub port: u16,
    /// How it misbehaves from its first moment on, if it does.
    pub mischief: Option<Mischief>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            app: App::default(),
            kind: OrgKind::Production,
            redirects: Redirects::Plain,
            keys: None,
            key_size: KeySize::Real,
            port: 0,
            mischief: None,
        }
    }
}

/// Production, or a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrgKind {
    /// `https://login.salesforce.com/id/...`
    Production,
    /// `https://test.salesforce.com/id/...`
    Sandbox,
}

impl OrgKind {
    /// The host that identity URLs and `sub` are on.
    pub fn identity_host(self) -> &'static str {
        match self {
            Self::Production => "https://login.salesforce.com",
            Self::Sandbox => "https://test.salesforce.com",
        }
    }
}

/// How the authorize endpoint sends a browser on (behaviour 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// 302, which every client follows.
    Plain,
    /// 200 with a page whose script goes on, as Salesforce does.
    Script,
}

/// The size of new keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySize {
    /// 4096 bits for ID tokens and 2048 for access tokens, as Salesforce has (behaviour 4).
    Real,
    /// 2048 bits for all: quicker to make.
    Small,
}

/// A connected app or external client app.
#[derive(Clone, Debug)]
pub struct App {
    /// Consumer key.
    pub client_id: String,
    /// Consumer secret.
    pub client_secret: String,
    /// "Require Secret for Web Server Flow". When optional, a secret that is sent must still be right.
    pub secret: SecretPolicy,
    /// What becomes of `Authorization: Basic` (behaviour 16).
    pub basic: Basic,
    /// The PEM of the public key that verifies `private_key_jwt` assertions, if the app has one.
    pub assertion_key: Option<String>,
    /// Callback URLs, compared exactly (behaviour 13).
    pub redirect_uris: Vec<String>,
    /// "Require Proof Key for Code Exchange".
    pub pkce: Pkce,
    /// Scopes assigned to the app; a request without `scope` gets all of them.
    pub scopes: Vec<String>,
    /// "Include Standard Claims" (behaviour 5).
    pub id_token_claims: IdTokenClaims,
    /// How long an ID token is valid: 2 minutes, up to 12 hours.
    pub id_token_validity: Duration,
    /// Further audiences, and how `aud` says them (behaviour 7).
    pub audience: Audience,
    /// "Permitted Users".
    pub permitted: Permitted,
    /// Whether a person is asked for approval once. Salesforce never asks those whom the administrator approved;
    /// here the two are apart, so that one demonstration can show both.
    pub approval: Approval,
    /// The form of access tokens (behaviour 18).
    pub access_tokens: AccessTokens,
    /// Which methods userinfo answers to (behaviour 24).
    pub userinfo: UserInfo,
    /// `isRefreshTokenRotationEnabled` (behaviour 20).
    pub rotation: Rotation,
    /// "Enable SAML": the same app by the other protocol.
    pub saml: SamlApp,
}

impl Default for App {
    fn default() -> Self {
        Self {
            client_id: "3MVG9pretend.Portcullis_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV".to_owned(),
            client_secret: "5D0C9B7A4E3F21608F7E6D5C4B3A29180F1E2D3C4B5A69788796A5B4C3D2E1F0".to_owned(),
            secret: SecretPolicy::Required,
            basic: Basic::Accepted,
            assertion_key: None,
            redirect_uris: Vec::new(),
            pkce: Pkce::Required,
            scopes: ["openid", "profile", "email", "id"].map(str::to_owned).to_vec(),
            id_token_claims: IdTokenClaims::Minimal,
            id_token_validity: Duration::from_secs(120),
            audience: Audience::Alone,
            permitted: Permitted::AdminApproved,
            approval: Approval::Asked,
            access_tokens: AccessTokens::Opaque,
            userinfo: UserInfo::GetAndPost,
            rotation: Rotation::Off,
            saml: SamlApp::default(),
        }
    }
}

/// "Require Secret for Web Server Flow".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretPolicy {
    /// Ticked: a secret or a signed assertion must come.
    Required,
    /// Unticked: neither need come, and a wrong one is still wrong.
    Optional,
}

/// What becomes of `Authorization: Basic`, which discovery always advertises (behaviour 16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basic {
    /// It works.
    Accepted,
    /// It fails with `invalid_client_id`, as has been seen in the field.
    Broken,
}

/// "Require Proof Key for Code Exchange".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pkce {
    /// No code without a challenge.
    Required,
    /// A challenge that is sent binds the code all the same.
    Optional,
}

/// "Include Standard Claims".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdTokenClaims {
    /// `at_hash`, `sub`, `aud`, `iss`, `exp`, `iat`, and `nonce`.
    Minimal,
    /// Those, and what the scopes allow.
    Standard,
}

/// The form of `aud`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The consumer key.
    Alone,
    /// The consumer key and these, joined by commas in one string.
    Joined(Vec<String>),
    /// The consumer key and these, in an array.
    Array(Vec<String>),
}

/// "Permitted Users".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permitted {
    /// "All users may self-authorize".
    Everybody,
    /// "Admin approved users are pre-authorized".
    AdminApproved,
}

/// Whether people are asked to approve the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Once each; it is remembered.
    Asked,
    /// Never.
    Skipped,
}

/// The form of access tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessTokens {
    /// `<15-character org id>!...`
    Opaque,
    /// A JWT signed by a `CORE_ATJWT` key of the same key set.
    Jwt,
}

/// Which methods userinfo answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserInfo {
    /// Both.
    GetAndPost,
    /// 405 to POST.
    GetOnly,
    /// 405 to GET.
    PostOnly,
}

/// Refresh token rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The refresh token stays.
    Off,
    /// Every refresh brings a new one; using an old one again ends the grant.
    On,
}
