//! Everything that an identity provider can do wrong, or merely oddly, each by name.
//!
//! Tests walk [`Mischief::ALL`]: where [`Mischief::is_benign`] the sign-in must succeed, everywhere else nobody
//! may get in. One is on at a time (`Running::set`). Read by every room of the emulator where it would act.

use std::fmt;
use std::str::FromStr;

pub use super::complaints::Complaint;
use super::complaints::{AT_AUTHORIZE, AT_TOKEN};
use super::saml::SamlMischief;

macro_rules! mischief {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $harm:ident;)+) => {
        /// One way to misbehave.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Mischief {
            $($(#[doc = $doc])+ $variant,)+
            /// The callback brings this error instead of a code (salesforce.md 2.3).
            CallbackError(Complaint),
            /// The token endpoint answers 400 with this error (salesforce.md 2.6).
            TokenError(Complaint),
            /// What only SAML meets.
            Saml(SamlMischief),
        }

        const NAMED: &[(Mischief, &str, Harm)] = &[$((Mischief::$variant, $name, Harm::$harm),)+];
    };
}

/// What a mischief should do to a sign-in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Harm {
    /// Salesforce does so too, here or there: the sign-in must succeed.
    Benign,
    /// Nobody may be signed in by it.
    Refused,
}

mischief! {
    // ID token
    /// `nonce` is another one.
    WrongNonce = "wrong-nonce", Refused;
    /// No `nonce` although one was sent.
    MissingNonce = "missing-nonce", Refused;
    /// `alg` is `none`, and there is no signature.
    AlgorithmNone = "alg-none", Refused;
    /// Signed with HS256, the public key as the secret (the classic key confusion).
    PublicKeyAsSecret = "hs256-public-key", Refused;
    /// Signed by a stranger's key under a published `kid`.
    ForeignKey = "foreign-key", Refused;
    /// Signed by a stranger's key, which the header itself brings (`jwk`).
    KeyInHeader = "key-in-header", Refused;
    /// Names a `kid` that no key set has.
    UnknownKeyId = "unknown-kid", Refused;
    /// Names no `kid`.
    MissingKeyId = "missing-kid", Refused;
    /// Signed by a published `CORE_ATJWT` key, which is for access tokens only.
    AccessTokenKey = "core-atjwt-key", Refused;
    /// A JWT access token of the same issuer in the place of the ID token.
    AccessTokenAsIdToken = "access-token-as-id-token", Refused;
    /// One bit of the signature is flipped.
    BrokenSignature = "broken-signature", Refused;
    /// The header demands an extension that nobody knows (`crit`, RFC 7515 section 4.1.11).
    CriticalHeader = "critical-header", Refused;
    /// Not a JWT at all.
    GarbledIdToken = "garbled-id-token", Refused;
    /// Expired an hour ago.
    StaleToken = "stale-token", Refused;
    /// Issued an hour from now.
    FutureToken = "future-token", Refused;
    /// `exp` is missing.
    MissingExpiry = "missing-exp", Refused;
    /// `iss` is another company's My Domain.
    WrongIssuer = "wrong-issuer", Refused;
    /// `aud` is another app.
    WrongAudience = "wrong-audience", Refused;
    /// `aud` is comma-joined, and ours is only a part of an element.
    ForeignAudiences = "foreign-audiences", Refused;
    /// `at_hash` is missing, which Salesforce never does.
    MissingAccessTokenHash = "missing-at-hash", Refused;
    /// `at_hash` belongs to another access token.
    WrongAccessTokenHash = "wrong-at-hash", Refused;
    /// `sub` is a colleague; userinfo still speaks of the right person.
    WrongSubject = "wrong-subject", Refused;
    /// `sub` is not an identity URL.
    MalformedSubject = "malformed-subject", Refused;
    /// `sub`, identity URL and userinfo all speak of a user of another company's org.
    ForeignOrganization = "foreign-organization", Refused;
    // token response
    /// No `id_token`.
    MissingIdToken = "no-id-token", Refused;
    /// `signature` was not made with the app's secret.
    WrongSignature = "wrong-response-signature", Refused;
    /// `token_type` is `mac`.
    TokenTypeMac = "token-type-mac", Refused;
    /// No `access_token`.
    MissingAccessToken = "no-access-token", Refused;
    /// The answer comes later than anybody should wait.
    TokenSlow = "token-slow", Refused;
    /// The connection closes without an answer.
    TokenDown = "token-down", Refused;
    /// 500 with a page for people.
    Token500 = "token-500-html", Refused;
    /// 503 with a page for people.
    Token503 = "token-503-html", Refused;
    /// 200 with a page for people.
    TokenHtml = "token-200-html", Refused;
    /// An answer of many megabytes.
    TokenOversized = "token-oversized", Refused;
    /// 307 to somewhere else, which would re-post the code and the secret.
    TokenRedirect = "token-redirect", Refused;
    // userinfo
    /// `sub` is a colleague.
    UserInfoOtherSubject = "userinfo-other-subject", Refused;
    /// 403, text/plain, `Bad_OAuth_Token` (behaviour 24).
    UserInfoForbidden = "userinfo-403", Refused;
    /// 200 with a page for people.
    UserInfoHtml = "userinfo-html", Refused;
    /// 302 to somewhere else, which would carry the token along.
    UserInfoRedirect = "userinfo-redirect", Refused;
    /// An answer of many megabytes.
    UserInfoOversized = "userinfo-oversized", Refused;
    /// The connection closes without an answer.
    UserInfoDown = "userinfo-down", Refused;
    /// `active` is false.
    UserInfoInactive = "userinfo-inactive", Refused;
    // discovery and keys
    /// `issuer` is another company's My Domain.
    DiscoveryWrongIssuer = "discovery-wrong-issuer", Refused;
    /// The token, userinfo and key endpoints are another company's.
    DiscoveryElsewhere = "discovery-elsewhere", Refused;
    /// 200 with a page for people.
    DiscoveryHtml = "discovery-html", Refused;
    /// 503 with a page for people.
    Discovery503 = "discovery-503", Refused;
    /// 302 to somewhere else.
    DiscoveryRedirect = "discovery-redirect", Refused;
    /// The connection closes without an answer.
    DiscoveryDown = "discovery-down", Refused;
    /// The key set holds no key.
    KeysEmpty = "keys-empty", Refused;
    /// The key set is a page for people.
    KeysHtml = "keys-html", Refused;
    /// The connection closes without an answer.
    KeysDown = "keys-down", Refused;
    // callback
    /// `state` comes back changed.
    StateChanged = "state-changed", Refused;
    /// `state` does not come back.
    StateMissing = "state-missing", Refused;
    /// `state` comes back twice.
    StateTwice = "state-twice", Refused;
    /// No `code`, and no error either.
    CodeMissing = "code-missing", Refused;
    /// `code` is one that was never issued.
    CodeForged = "code-forged", Refused;
    /// `code` comes back twice.
    CodeTwice = "code-twice", Refused;
    /// `code` and `error` come back together.
    CodeAndError = "code-and-error", Refused;
    /// `iss` (RFC 9207) names another issuer.
    WrongIssuerParameter = "wrong-iss-parameter", Refused;
    // odd, and right
    /// `sfdc_community_url` and `sfdc_community_id` beside the code, as after a site's login (behaviour 15).
    CommunityParameters = "community-parameters", Benign;
    /// `iss` (RFC 9207) names the right issuer.
    IssuerParameter = "iss-parameter", Benign;
    /// `aud` is an array (behaviour 7).
    AudienceArray = "audience-array", Benign;
    /// `aud` is one comma-joined string, ours first (behaviour 7).
    AudienceJoined = "audience-joined", Benign;
    /// The ID token has no more than it must (behaviour 5).
    MinimalClaims = "minimal-claims", Benign;
    /// The ID token has the standard claims: ISO `updated_at`, null `phone_number`, empty `address`.
    StandardClaims = "standard-claims", Benign;
    /// Userinfo has custom attributes, and many addresses and photos (behaviour 25).
    BigUserInfo = "big-userinfo", Benign;
    /// The next key, already published, signs (behaviour 4).
    NextKeySigns = "next-key-signs", Benign;
    /// A key that was published a moment ago signs; the oldest is gone (behaviour 4).
    KeysRotated = "keys-rotated", Benign;
    /// The host that `id` is on is My Domain, as newer documentation prints it.
    IdentityOnMyDomain = "identity-on-my-domain", Benign;
    /// `instance_url` ends with a slash.
    InstanceWithSlash = "instance-with-slash", Benign;
    /// The access token is a JWT (behaviour 18).
    JwtAccessToken = "jwt-access-token", Benign;
    /// Our clock is half a minute ahead.
    ClockAhead = "clock-ahead", Benign;
    /// Discovery names DPoP algorithms, PKCE methods and grant types (behaviour 2).
    DiscoveryGrown = "discovery-grown", Benign;
}

impl Mischief {
    /// Every one of OpenID Connect's, with every error of both endpoints. SAML's are [`SamlMischief::ALL`].
    pub const ALL: &'static [Self] = &EVERY;

    /// Its name, as [`FromStr`] reads it.
    pub fn name(self) -> String {
        match self {
            Self::CallbackError(complaint) => format!("callback-error:{complaint}"),
            Self::TokenError(complaint) => format!("token-error:{complaint}"),
            Self::Saml(mischief) => format!("saml:{}", mischief.name()),
            _ => NAMED.iter().find(|named| named.0 == self).map_or("", |named| named.1).to_owned(),
        }
    }

    /// Whether a sign-in must succeed nevertheless.
    pub fn is_benign(self) -> bool {
        match self {
            Self::Saml(mischief) => mischief.is_benign(),
            _ => NAMED.iter().any(|named| named.0 == self && named.2 == Harm::Benign),
        }
    }

    /// The callback's error of that code; the first one when a code has several descriptions.
    pub fn callback_error(error: &str) -> Option<Self> {
        AT_AUTHORIZE.iter().find(|complaint| complaint.error == error).copied().map(Self::CallbackError)
    }

    /// The token endpoint's error of that code; the first one when a code has several descriptions.
    pub fn token_error(error: &str) -> Option<Self> {
        AT_TOKEN.iter().find(|complaint| complaint.error == error).copied().map(Self::TokenError)
    }
}

const COUNT: usize = NAMED.len() + AT_AUTHORIZE.len() + AT_TOKEN.len();

static EVERY: [Mischief; COUNT] = {
    let mut every = [Mischief::WrongNonce; COUNT];
    let mut at = 0;
    while at < COUNT {
        every[at] = if at < NAMED.len() {
            NAMED[at].0
        } else if at < NAMED.len() + AT_AUTHORIZE.len() {
            Mischief::CallbackError(AT_AUTHORIZE[at - NAMED.len()])
        } else {
            Mischief::TokenError(AT_TOKEN[at - NAMED.len() - AT_AUTHORIZE.len()])
        };
        at += 1;
    }
    every
};

impl From<SamlMischief> for Mischief {
    fn from(mischief: SamlMischief) -> Self {
        Self::Saml(mischief)
    }
}

impl fmt::Display for Mischief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// No mischief has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no mischief is named {name:?}; did you mean {nearest:?}?")]
pub struct UnknownMischief {
    name: String,
    nearest: String,
}

impl FromStr for Mischief {
    type Err = UnknownMischief;

    fn from_str(name: &str) -> Result<Self, UnknownMischief> {
        let short = match name.split_once(':') {
            Some(("callback-error", error)) => Self::callback_error(error),
            Some(("token-error", error)) => Self::token_error(error),
            _ => None,
        };
        let known = || Self::ALL.iter().copied().chain(SamlMischief::ALL.iter().copied().map(Self::Saml));
        let found = short.or_else(|| known().find(|mischief| mischief.name() == name));
        found.ok_or_else(|| {
            let names = known().map(Self::name);
            let nearest = names.min_by_key(|known| strsim::levenshtein(known, name)).unwrap_or_default();
            UnknownMischief { name: name.to_owned(), nearest }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_mischief_answers_to_its_name_alone() {
        let mut names = HashSet::new();
        let saml = SamlMischief::ALL.iter().copied().map(Mischief::Saml);
        for mischief in Mischief::ALL.iter().copied().chain(saml) {
            assert!(names.insert(mischief.name()), "{mischief} twice");
            assert_eq!(mischief.name().parse(), Ok(mischief));
        }
        assert!(names.contains("callback-error:access_denied/end-user denied authorization"));
        let unknown = "wrong-nonse".parse::<Mischief>().unwrap_err();
        assert_eq!(unknown.to_string(), "no mischief is named \"wrong-nonse\"; did you mean \"wrong-nonce\"?");
    }

    #[test]
    fn an_error_is_never_benign() {
        assert!(Mischief::AudienceJoined.is_benign());
        assert!(!Mischief::token_error("invalid_grant").unwrap().is_benign());
        assert!(Mischief::ALL.iter().filter(|mischief| mischief.is_benign()).count() >= 10);
    }
}
