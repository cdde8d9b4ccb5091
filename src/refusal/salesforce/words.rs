//! Code, kind and words of each of Salesforce's errors.
//!
//! A kind decides status and way onward, so that one error cannot be the person's fault on the page and the
//! app's in the metrics. Called by `SalesforceError::entry`.

mod app;
mod grant;
mod people;

use super::SalesforceError;

/// Whose concern an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// This person may not come in as things are: 403.
    Person,
    /// The person said no: 403.
    Declined,
    /// The app's configuration, here or in Salesforce: 502.
    Setup,
    /// A fresh sign-in will do: 400.
    Again,
    /// Too often: 429.
    Slower,
    /// Salesforce itself: 503.
    Down,
}

/// What is said about one error.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) kind: Kind,
    pub(super) code: &'static str,
    pub(super) happened: &'static str,
    pub(super) administrator: &'static str,
}

impl Line {
    const fn new(kind: Kind, code: &'static str, happened: &'static str, administrator: &'static str) -> Self {
        Self { kind, code, happened, administrator }
    }
}

impl SalesforceError {
    /// What is said about this error.
    #[deny(clippy::wildcard_enum_match_arm)]
    pub(super) fn line(self) -> Line {
        match self {
            Self::AccessDenied => people::ACCESS_DENIED,
            Self::AppBlocked => people::APP_BLOCKED,
            Self::FailCloseAppBlocked => people::FAIL_CLOSE_APP_BLOCKED,
            Self::AppAccessDenied => people::APP_ACCESS_DENIED,
            Self::InvalidAppAccess => people::INVALID_APP_ACCESS,
            Self::NoAccess => people::NO_ACCESS,
            Self::ApprovalError => people::APPROVAL_ERROR,
            Self::AuthorizationBlocked => people::AUTHORIZATION_BLOCKED,
            Self::CrossOrg => people::CROSS_ORG,
            Self::ExternalAppNotFound => people::EXTERNAL_APP_NOT_FOUND,
            Self::AppNotFound => people::APP_NOT_FOUND,
            Self::AppNotInstalled => people::APP_NOT_INSTALLED,
            Self::InstallationError => people::INSTALLATION_ERROR,
            Self::InactiveUser => people::INACTIVE_USER,
            Self::InactiveOrg => people::INACTIVE_ORG,
            Self::WrongOrg => people::WRONG_ORG,
            Self::IpRestricted => people::IP_RESTRICTED,
            Self::AuthenticationFailure => people::AUTHENTICATION_FAILURE,
            Self::NotApproved => people::NOT_APPROVED,
            Self::PreauthorizationRequired => people::PREAUTHORIZATION_REQUIRED,
            Self::SessionLevel => people::SESSION_LEVEL,
            Self::RateLimit => people::RATE_LIMIT,
            Self::LoginError => people::LOGIN_ERROR,
            Self::OneTimePassword => people::ONE_TIME_PASSWORD,
            Self::ImmediateUnsuccessful => people::IMMEDIATE_UNSUCCESSFUL,
            Self::ExpiredCode => grant::EXPIRED_CODE,
            Self::InvalidCode => grant::INVALID_CODE,
            Self::InvalidVerifier => grant::INVALID_VERIFIER,
            Self::ExpiredToken => grant::EXPIRED_TOKEN,
            Self::BadToken => grant::BAD_TOKEN,
            Self::MissingToken => grant::MISSING_TOKEN,
            Self::InvalidGrant => grant::INVALID_GRANT,
            Self::AudienceFailed => grant::AUDIENCE_FAILED,
            Self::NoValidScopes => grant::NO_VALID_SCOPES,
            Self::WrongDomain => grant::WRONG_DOMAIN,
            Self::DeviceFlowDisabled => grant::DEVICE_FLOW_DISABLED,
            Self::InvalidClientId => grant::INVALID_CLIENT_ID,
            Self::InvalidClientCredentials => grant::INVALID_CLIENT_CREDENTIALS,
            Self::InvalidClient => grant::INVALID_CLIENT,
            Self::InvalidBasicHeader => grant::INVALID_BASIC_HEADER,
            Self::InvalidAssertion => grant::INVALID_ASSERTION,
            Self::RedirectUriMismatch => grant::REDIRECT_URI_MISMATCH,
            Self::RedirectUriMissing => grant::REDIRECT_URI_MISSING,
            Self::InvalidScope => grant::INVALID_SCOPE,
            Self::ScopeNotSupported => app::SCOPE_NOT_SUPPORTED,
            Self::ChallengeRequired => app::CHALLENGE_REQUIRED,
            Self::HttpsRequired => app::HTTPS_REQUIRED,
            Self::WrongMethod => app::WRONG_METHOD,
            Self::OutOfBand => app::OUT_OF_BAND,
            Self::InvalidRequest => app::INVALID_REQUEST,
            Self::UnsupportedGrantType => app::UNSUPPORTED_GRANT_TYPE,
            Self::UnsupportedResponseType => app::UNSUPPORTED_RESPONSE_TYPE,
            Self::UnsupportedTokenType => app::UNSUPPORTED_TOKEN_TYPE,
            Self::FlowDisabled => app::FLOW_DISABLED,
            Self::PolicyNotFound => app::POLICY_NOT_FOUND,
            Self::DistributionState => app::DISTRIBUTION_STATE,
            Self::DpopRequired => app::DPOP_REQUIRED,
            Self::AppAttestation => app::APP_ATTESTATION,
            Self::Registration => app::REGISTRATION,
            Self::ExperienceId => app::EXPERIENCE_ID,
            Self::DeviceFlow => app::DEVICE_FLOW,
            Self::ServerError => app::SERVER_ERROR,
            Self::ServiceUnavailable => app::SERVICE_UNAVAILABLE,
            Self::SystemDown => app::SYSTEM_DOWN,
            Self::UnknownError => app::UNKNOWN_ERROR,
            Self::Unknown => app::UNKNOWN,
        }
    }
}
