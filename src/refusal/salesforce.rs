//! Salesforce's own errors, recognised: one variant for each thing that an administrator would do differently.
//!
//! Salesforce answers with RFC 6749 section 4.1.2.1 and 5.2 codes, with several dozen of its own, and with
//! on-screen codes that sometimes arrive on the callback; one code can mean many things, told apart only by
//! its description. Capitals and `-` for `_` vary. What was sent chooses the words and is never shown itself.
//! Made by `identity`; called by `Refusal::entry` for code, status and words.

mod words;

use hyper::StatusCode;

use super::{Entry, Onward};
use words::{Kind, Line};

/// An error of Salesforce's, by what has to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SalesforceError {
    /// `access_denied`, also written `access-denied`: the person pressed Deny.
    AccessDenied,
    /// `OAUTH_APP_BLOCKED`, `app_blocked`: an administrator of the org blocked the app.
    AppBlocked,
    /// `fail_close_app_blocked`: Salesforce could not tell whether the app is blocked, and blocked it.
    FailCloseAppBlocked,
    /// `OAUTH_APP_ACCESS_DENIED`: only pre-approved people may use the app, and this one is not.
    AppAccessDenied,
    /// `invalid_app_access`: the same, as the token endpoint says it.
    InvalidAppAccess,
    /// `no_access`: the person may not use the app.
    NoAccess,
    /// `OAUTH_APPROVAL_ERROR_GENERIC`: the approval failed; an app not installed, a scope not assigned, a licence.
    ApprovalError,
    /// `OAUTH_AUTHORIZATION_BLOCKED`: a policy of the org blocked the authorization.
    AuthorizationBlocked,
    /// The same with `Cross-org OAuth flows are not supported`: the app is local to another org.
    CrossOrg,
    /// `OAUTH_EC_APP_NOT_FOUND`: the External Client App is not installed in the person's org.
    ExternalAppNotFound,
    /// `app_not_found`: there is no such app in the org.
    AppNotFound,
    /// `invalid_client` with `app must be installed into org`: the 2025 rule on apps from elsewhere.
    AppNotInstalled,
    /// `installation_error`: the app's installation in the org is broken.
    InstallationError,
    /// `inactive_user`: the user was deactivated.
    InactiveUser,
    /// `inactive_org`: the org is locked, closed or suspended.
    InactiveOrg,
    /// `Wrong_Org`: the token belongs to another org.
    WrongOrg,
    /// `invalid_grant` with `ip restricted` or `invalid login hours`.
    IpRestricted,
    /// `invalid_grant` with `authentication failure`: deactivated, or the password was changed.
    AuthenticationFailure,
    /// `invalid_grant` with `user hasn't approved this consumer`.
    NotApproved,
    /// `invalid_request` with `... should be installed and preauthorized`.
    PreauthorizationRequired,
    /// `invalid_session_level`: the app's policy asks for a high-assurance session.
    SessionLevel,
    /// `rate_limit_exceeded`, `LOGIN_RATE_EXCEEDED`: more than 3,600 logins of one user in an hour.
    RateLimit,
    /// `login_error`: the login itself failed.
    LoginError,
    /// `invalid_otp`, `otp_error`: a one-time password failed.
    OneTimePassword,
    /// `immediate_unsuccessful`: somebody has to sign in or approve first.
    ImmediateUnsuccessful,
    /// `invalid_grant` with `expired authorization code`: older than 15 minutes, or used before.
    ExpiredCode,
    /// `invalid_grant` with `invalid authorization code`: unknown or garbled.
    InvalidCode,
    /// `invalid_grant` or `invalid_request` about the PKCE verifier.
    InvalidVerifier,
    /// `invalid_grant` with `expired access/refresh token`: revoked, expired or evicted.
    ExpiredToken,
    /// `Bad_OAuth_Token`, `invalid_token`: userinfo did not accept the access token.
    BadToken,
    /// `Missing_OAuth_Token`: userinfo saw no access token.
    MissingToken,
    /// `invalid_grant` with any other description.
    InvalidGrant,
    /// `invalid_grant` with `Audience validation failed`.
    AudienceFailed,
    /// `invalid_grant` with `no valid scopes defined`.
    NoValidScopes,
    /// `invalid_grant` with `request not supported on this domain`.
    WrongDomain,
    /// `invalid_grant` with `device flow is not enabled for the app`.
    DeviceFlowDisabled,
    /// `invalid_client_id`: the host and org do not know the Consumer Key.
    InvalidClientId,
    /// `invalid_client` with `invalid client credentials`: the Consumer Secret is wrong.
    InvalidClientCredentials,
    /// `invalid_client` with any other description.
    InvalidClient,
    /// `invalid_basic_auth_header`: the credentials in the header cannot be read.
    InvalidBasicHeader,
    /// `invalid_assertion_type`, `bad_jti_claim`: the client's signed assertion was refused.
    InvalidAssertion,
    /// `redirect_uri_mismatch`: the callback address is not registered.
    RedirectUriMismatch,
    /// `redirect_uri_missing`: no callback address arrived.
    RedirectUriMissing,
    /// `invalid_scope`: a requested scope is not assigned to the app.
    InvalidScope,
    /// `invalid_request` with `scope parameter not supported`.
    ScopeNotSupported,
    /// `invalid_request` with `missing required code challenge`.
    ChallengeRequired,
    /// `invalid_request` with `HTTPS required`.
    HttpsRequired,
    /// `invalid_request` with `Must use HTTP GET` or `POST`.
    WrongMethod,
    /// `invalid_request` with `Out-of-band not supported`.
    OutOfBand,
    /// `invalid_request` with any other description.
    InvalidRequest,
    /// `unsupported_grant_type`.
    UnsupportedGrantType,
    /// `unsupported_response_type`.
    UnsupportedResponseType,
    /// `unsupported_token_type`.
    UnsupportedTokenType,
    /// `oauth_flow_disabled`: the org or the app has this flow switched off.
    FlowDisabled,
    /// `oauth_policy_not_found`, `ecapp_policy_not_found`: the app has no OAuth policy in the org.
    PolicyNotFound,
    /// `invalid_distribution_state`: an External Client App in a state that does not allow this.
    DistributionState,
    /// `invalid_dpop_proof`, `use_dpop_nonce`: the app requires DPoP.
    DpopRequired,
    /// `app_attest_failed`, `app_attest_failed_retry`: a mobile app's attestation failed.
    AppAttestation,
    /// `exceeded_registration_limit`, `failed_registration`, `registration_error`: a registration failed.
    Registration,
    /// `invalid_expid`, `unsupported_expid`: the login experience id is not known.
    ExperienceId,
    /// `authorization_pending`, `slow_down`: words of the device flow, which is never used here.
    DeviceFlow,
    /// `server_error`: Salesforce failed.
    ServerError,
    /// `service_unavailable`, `temporarily_unavailable`: Salesforce is not available.
    ServiceUnavailable,
    /// `system_down`: Salesforce is down.
    SystemDown,
    /// `unknown_error`: Salesforce does not know either.
    UnknownError,
    /// An error that is on none of Salesforce's lists.
    Unknown,
}

impl SalesforceError {
    /// Every error there is.
    pub const ALL: &'static [Self] = &[
        Self::AccessDenied,
        Self::AppBlocked,
        Self::FailCloseAppBlocked,
        Self::AppAccessDenied,
        Self::InvalidAppAccess,
        Self::NoAccess,
        Self::ApprovalError,
        Self::AuthorizationBlocked,
        Self::CrossOrg,
        Self::ExternalAppNotFound,
        Self::AppNotFound,
        Self::AppNotInstalled,
        Self::InstallationError,
        Self::InactiveUser,
        Self::InactiveOrg,
        Self::WrongOrg,
        Self::IpRestricted,
        Self::AuthenticationFailure,
        Self::NotApproved,
        Self::PreauthorizationRequired,
        Self::SessionLevel,
        Self::RateLimit,
        Self::LoginError,
        Self::OneTimePassword,
        Self::ImmediateUnsuccessful,
        Self::ExpiredCode,
        Self::InvalidCode,
        Self::InvalidVerifier,
        Self::ExpiredToken,
        Self::BadToken,
        Self::MissingToken,
        Self::InvalidGrant,
        Self::AudienceFailed,
        Self::NoValidScopes,
        Self::WrongDomain,
        Self::DeviceFlowDisabled,
        Self::InvalidClientId,
        Self::InvalidClientCredentials,
        Self::InvalidClient,
        Self::InvalidBasicHeader,
        Self::InvalidAssertion,
        Self::RedirectUriMismatch,
        Self::RedirectUriMissing,
        Self::InvalidScope,
        Self::ScopeNotSupported,
        Self::ChallengeRequired,
        Self::HttpsRequired,
        Self::WrongMethod,
        Self::OutOfBand,
        Self::InvalidRequest,
        Self::UnsupportedGrantType,
        Self::UnsupportedResponseType,
        Self::UnsupportedTokenType,
        Self::FlowDisabled,
        Self::PolicyNotFound,
        Self::DistributionState,
        Self::DpopRequired,
        Self::AppAttestation,
        Self::Registration,
        Self::ExperienceId,
        Self::DeviceFlow,
        Self::ServerError,
        Self::ServiceUnavailable,
        Self::SystemDown,
        Self::UnknownError,
        Self::Unknown,
    ];

    /// Which error `error` and `description` are, whatever their capitals.
    pub fn recognise(error: &str, description: Option<&str>) -> Self {
        let error = error.trim().to_ascii_lowercase().replace('-', "_");
        let description = description.unwrap_or_default().to_ascii_lowercase();
        let says = |words: &str| description.contains(words);
        match error.as_str() {
            "invalid_grant" => Self::grant(says),
            "invalid_client" if says("app must be installed") => Self::AppNotInstalled,
            "invalid_client" if says("client credentials") => Self::InvalidClientCredentials,
            "invalid_client" => Self::InvalidClient,
            "invalid_request" => Self::request(says),
            "oauth_authorization_blocked" if says("cross-org") => Self::CrossOrg,
            other => Self::by_code(other),
        }
    }

    /// The many things that `invalid_grant` means.
    fn grant(says: impl Fn(&str) -> bool) -> Self {
        let meanings = [
            ("expired authorization code", Self::ExpiredCode),
            ("invalid authorization code", Self::InvalidCode),
            ("verifier", Self::InvalidVerifier),
            ("authentication failure", Self::AuthenticationFailure),
            ("expired access/refresh token", Self::ExpiredToken),
            ("approved this consumer", Self::NotApproved),
            ("ip restricted", Self::IpRestricted),
            ("login hours", Self::IpRestricted),
            ("no valid scopes", Self::NoValidScopes),
            ("not supported on this domain", Self::WrongDomain),
            ("device flow is not enabled", Self::DeviceFlowDisabled),
            ("audience validation failed", Self::AudienceFailed),
            ("inactive user", Self::InactiveUser),
            ("user is inactive", Self::InactiveUser),
        ];
        meanings.into_iter().find(|(words, _)| says(words)).map_or(Self::InvalidGrant, |(_, error)| error)
    }

    /// The many things that `invalid_request` means.
    fn request(says: impl Fn(&str) -> bool) -> Self {
        let meanings = [
            ("scope parameter not supported", Self::ScopeNotSupported),
            ("code challenge", Self::ChallengeRequired),
            ("verifier", Self::InvalidVerifier),
            ("preauthorized", Self::PreauthorizationRequired),
            ("https required", Self::HttpsRequired),
            ("must use http", Self::WrongMethod),
            ("out-of-band", Self::OutOfBand),
        ];
        meanings.into_iter().find(|(words, _)| says(words)).map_or(Self::InvalidRequest, |(_, error)| error)
    }

    /// The codes that mean one thing each.
    fn by_code(code: &str) -> Self {
        match code {
            "access_denied" => Self::AccessDenied,
            "oauth_app_blocked" | "app_blocked" => Self::AppBlocked,
            "fail_close_app_blocked" => Self::FailCloseAppBlocked,
            "oauth_app_access_denied" => Self::AppAccessDenied,
            "invalid_app_access" => Self::InvalidAppAccess,
            "no_access" => Self::NoAccess,
            "oauth_approval_error_generic" => Self::ApprovalError,
            "oauth_authorization_blocked" => Self::AuthorizationBlocked,
            "oauth_ec_app_not_found" => Self::ExternalAppNotFound,
            "app_not_found" => Self::AppNotFound,
            "installation_error" => Self::InstallationError,
            "inactive_user" => Self::InactiveUser,
            "inactive_org" => Self::InactiveOrg,
            "wrong_org" => Self::WrongOrg,
            "invalid_session_level" => Self::SessionLevel,
            "rate_limit_exceeded" | "login_rate_exceeded" => Self::RateLimit,
            "login_error" => Self::LoginError,
            "invalid_otp" | "otp_error" => Self::OneTimePassword,
            "immediate_unsuccessful" => Self::ImmediateUnsuccessful,
            "bad_oauth_token" | "invalid_token" => Self::BadToken,
            "missing_oauth_token" => Self::MissingToken,
            "invalid_client_id" => Self::InvalidClientId,
            "invalid_basic_auth_header" => Self::InvalidBasicHeader,
            "invalid_assertion_type" | "bad_jti_claim" => Self::InvalidAssertion,
            "redirect_uri_mismatch" => Self::RedirectUriMismatch,
            "redirect_uri_missing" => Self::RedirectUriMissing,
            "invalid_scope" => Self::InvalidScope,
            "unsupported_grant_type" => Self::UnsupportedGrantType,
            "unsupported_response_type" => Self::UnsupportedResponseType,
            "unsupported_token_type" => Self::UnsupportedTokenType,
            "oauth_flow_disabled" => Self::FlowDisabled,
            "oauth_policy_not_found" | "ecapp_policy_not_found" => Self::PolicyNotFound,
            "invalid_distribution_state" => Self::DistributionState,
            "invalid_dpop_proof" | "use_dpop_nonce" => Self::DpopRequired,
            "app_attest_failed" | "app_attest_failed_retry" => Self::AppAttestation,
            "exceeded_registration_limit" | "failed_registration" | "registration_error" => Self::Registration,
            "invalid_expid" | "unsupported_expid" => Self::ExperienceId,
            "authorization_pending" | "slow_down" => Self::DeviceFlow,
            "server_error" => Self::ServerError,
            "service_unavailable" | "temporarily_unavailable" => Self::ServiceUnavailable,
            "system_down" => Self::SystemDown,
            "unknown_error" => Self::UnknownError,
            _ => Self::Unknown,
        }
    }

    /// Its stable name as a refusal.
    pub fn code(self) -> &'static str {
        self.line().code
    }

    pub(super) fn entry(self) -> Entry {
        let Line { code, kind, happened, administrator } = self.line();
        let (status, onward, title, you) = match kind {
            Kind::Person => (
                StatusCode::FORBIDDEN,
                Onward::SignIn,
                "Salesforce did not let you in",
                "Your administrator can change this: pass on the note for them. If you have another Salesforce login, \
                 sign out of Salesforce first, then sign in again with that one.",
            ),
            Kind::Declined => (
                StatusCode::FORBIDDEN,
                Onward::SignIn,
                "You did not allow access",
                "To use this app, sign in again and choose Allow when Salesforce asks. The app learns who you are and \
                 nothing else.",
            ),
            Kind::Setup => (
                StatusCode::BAD_GATEWAY,
                Onward::SignIn,
                "Sign-in is not set up correctly",
                "This is not your mistake, and you cannot repair it. Pass on the note for your administrator.",
            ),
            Kind::Again => (
                StatusCode::BAD_REQUEST,
                Onward::SignIn,
                "Your sign-in did not go through",
                "Sign in again; it usually takes only a moment.",
            ),
            Kind::Slower => (
                StatusCode::TOO_MANY_REQUESTS,
                Onward::SignIn,
                "Too many sign-ins",
                "Wait a while before you sign in again.",
            ),
            Kind::Down => (
                StatusCode::SERVICE_UNAVAILABLE,
                Onward::SignIn,
                "Salesforce is not available",
                "Wait a few minutes and sign in again.",
            ),
        };
        Entry { code, status, onward, title, happened, you, administrator }
    }
}

#[cfg(test)]
mod tests;
