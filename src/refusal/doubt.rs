//! What was wrong with an identity provider's answer, and the words for it.
//!
//! Each doubt is one check that failed (OpenID Connect Core sections 3.1.3.7, 3.1.3.8 and 5.3.2; RFC 8725).
//! For the visitor all of them mean the same; for the administrator each has its own thing to look at.
//! `identity` names the same reasons one for one; `login` maps them; called by `Refusal::entry`.

use hyper::StatusCode;

use super::{Entry, Onward};

/// Which check the provider's answer failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderDoubt {
    /// Discovery, keys, token or userinfo was not what the standard says.
    UnreadableAnswer,
    /// An HTTP status that no step of the flow expects.
    UnexpectedStatus,
    /// An answer beyond the size limit.
    AnswerTooLarge,
    /// Discovery names another issuer than the configured address.
    DiscoveryIssuer,
    /// Discovery names an endpoint outside the issuer's origin.
    EndpointElsewhere,
    /// `token_type` is not `Bearer`.
    TokenType,
    /// No ID token in the token response.
    NoIdToken,
    /// The ID token is no readable JWT.
    Malformed,
    /// Signed with something other than RS256, or with `crit`.
    Algorithm,
    /// Signed by a key that the provider does not publish for ID tokens.
    UnknownKey,
    /// The signature does not verify.
    Signature,
    /// `iss` is another.
    Issuer,
    /// `aud` is not us.
    Audience,
    /// `nonce` missing or another attempt's.
    Nonce,
    /// `at_hash` missing or not of this access token.
    AccessTokenHash,
    /// `exp`, `iat` or `nbf` out of bounds, or not numbers.
    Times,
    /// `sub` is no Salesforce identity address.
    Subject,
    /// Userinfo speaks of somebody else than the ID token.
    UserInfoSubject,
    /// The token response's `signature` does not verify with our secret.
    ResponseSignature,
    /// The token response's `id` is another person's.
    IdentityAddress,
}

impl ProviderDoubt {
    /// Every doubt there is.
    pub const ALL: &'static [Self] = &[
        Self::UnreadableAnswer,
        Self::UnexpectedStatus,
        Self::AnswerTooLarge,
        Self::DiscoveryIssuer,
        Self::EndpointElsewhere,
        Self::TokenType,
        Self::NoIdToken,
        Self::Malformed,
        Self::Algorithm,
        Self::UnknownKey,
        Self::Signature,
        Self::Issuer,
        Self::Audience,
        Self::Nonce,
        Self::AccessTokenHash,
        Self::Times,
        Self::Subject,
        Self::UserInfoSubject,
        Self::ResponseSignature,
        Self::IdentityAddress,
    ];

    pub(super) fn entry(self) -> Entry {
        let (code, administrator) = self.says();
        Entry {
            code,
            status: StatusCode::BAD_GATEWAY,
            onward: Onward::SignIn,
            title: "Salesforce's answer was not accepted",
            happened: "Salesforce answered, but its answer failed one of the checks that keep strangers out, so nobody \
                       was signed in.",
            you: "Sign in again. If it fails the same way, give your administrator the code and the request id.",
            administrator,
        }
    }

    /// The code, and what the administrator should check.
    #[deny(clippy::wildcard_enum_match_arm)]
    #[expect(clippy::too_many_lines, reason = "a table: one arm for each doubt")]
    fn says(self) -> (&'static str, &'static str) {
        match self {
            Self::UnreadableAnswer => (
                "provider_unreadable_answer",
                "The answer is not the JSON that the standard asks for. A maintenance page of Salesforce, or a proxy on \
                 the way out that answers in its place, look like this. Check that org is the address of an org, and \
                 run `portcullis check --live`.",
            ),
            Self::UnexpectedStatus => (
                "provider_unexpected_status",
                "The answer has a status that this step does not expect. A redirect means that org is not the final \
                 address: write the My Domain address, https and without a page's path. A 5xx is Salesforce's own.",
            ),
            Self::AnswerTooLarge => (
                "provider_answer_too_large",
                "The answer is larger than any that Salesforce gives. Check that org is the address of an org and that \
                 nothing on the way out answers in its place.",
            ),
            Self::DiscoveryIssuer => (
                "provider_discovery_issuer",
                "The org's discovery document names another issuer than the configured org address. Write the address \
                 as the document has it: usually https://NAME.my.salesforce.com, for an Experience Cloud site with its \
                 path.",
            ),
            Self::EndpointElsewhere => (
                "provider_endpoint_elsewhere",
                "The org's discovery document points to another server. Salesforce never does this: check the org \
                 address, and who answers there.",
            ),
            Self::TokenType => (
                "provider_token_type",
                "The token response is not of type Bearer. In the app's settings in Salesforce, do not require DPoP.",
            ),
            Self::NoIdToken => (
                "provider_no_id_token",
                "The token response holds no ID token. In Salesforce, add the scope \"Access unique user identifiers \
                 (openid)\" to the app, and keep openid in the provider's scopes.",
            ),
            Self::Malformed => (
                "provider_id_token_malformed",
                "The ID token cannot be read as a signed JWT. Check that nothing between the gateway and Salesforce \
                 changes answers.",
            ),
            Self::Algorithm => (
                "provider_id_token_algorithm",
                "The ID token is not signed with RS256, the only algorithm that Salesforce uses. Somebody else may \
                 have made it: check the org address, and keep the log line with this request id.",
            ),
            Self::UnknownKey => (
                "provider_unknown_key",
                "The ID token is signed with a key that the org does not publish for ID tokens. Right after a \
                 Salesforce release this may pass within a minute. Otherwise keep the log line with this request id.",
            ),
            Self::Signature => (
                "provider_signature",
                "The signature of the ID token does not verify. Somebody may have changed it: check the org address \
                 and any proxy on the way out, and keep the log line with this request id.",
            ),
            Self::Issuer => (
                "provider_issuer",
                "The ID token was issued by another host than the configured org address. If people sign in through \
                 My Domain, org must be the My Domain address and not login.salesforce.com; the same goes for sites.",
            ),
            Self::Audience => (
                "provider_audience",
                "The ID token was issued for another app. Check that client_id is the Consumer Key of the app that \
                 people approve in Salesforce.",
            ),
            Self::Nonce => (
                "provider_nonce",
                "The ID token does not belong to this sign-in. Now and then this is a replayed answer, which was \
                 rightly refused; if it happens to everybody, something caches answers on the way out.",
            ),
            Self::AccessTokenHash => (
                "provider_access_token_hash",
                "The ID token and the access token do not belong together. Check that nothing between the gateway and \
                 Salesforce changes answers.",
            ),
            Self::Times => (
                "provider_times",
                "The ID token lies outside its time of validity, two minutes unless changed in Salesforce. Set the \
                 clock of the gateway's machine (NTP); small differences are covered by clock_skew.",
            ),
            Self::Subject => (
                "provider_subject",
                "The ID token does not name a Salesforce user in the way that Salesforce does. Check that org is the \
                 address of a Salesforce org.",
            ),
            Self::UserInfoSubject => (
                "provider_userinfo_subject",
                "The user information is about somebody else than the ID token, so neither is used. Something on the \
                 way out may cache answers; keep the log line with this request id.",
            ),
            Self::ResponseSignature => (
                "provider_response_signature",
                "The token response is not signed with the configured client_secret. Copy the Consumer Secret of the \
                 app once more; after a rotation the old one no longer fits.",
            ),
            Self::IdentityAddress => (
                "provider_identity_address",
                "The token response and the ID token name different people, so neither is used. Keep the log line with \
                 this request id.",
            ),
        }
    }
}
