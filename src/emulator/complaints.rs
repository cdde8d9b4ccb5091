//! The errors that Salesforce complains with, as it spells them (salesforce.md 2.3 and 2.6).
//!
//! One table for each place, so that tests can walk every error and the endpoints can name the ones that they
//! raise themselves. Where no exact description is known it is empty, and none is sent.

use std::fmt;

/// An error code and its description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Complaint {
    /// `error`.
    pub error: &'static str,
    /// `error_description`; empty when none is sent.
    pub description: &'static str,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.description.is_empty() {
            f.write_str(self.error)
        } else {
            write!(f, "{}/{}", self.error, self.description)
        }
    }
}

/// A complaint in Salesforce's words.
pub const fn complaint(error: &'static str, description: &'static str) -> Complaint {
    Complaint { error, description }
}

/// Unknown consumer key, or the wrong form of client authentication.
pub const CLIENT_UNKNOWN: Complaint = complaint("invalid_client_id", "client identifier invalid");
/// The redirect address is not among the registered ones.
pub const REDIRECT_MISMATCH: Complaint = complaint("redirect_uri_mismatch", "redirect_uri must match configuration");
/// No redirect address at all.
pub const REDIRECT_MISSING: Complaint = complaint("redirect_uri_missing", "missing required redirect_uri");
/// PKCE is required and absent at authorize (behaviour 12).
pub const CHALLENGE_MISSING: Complaint = complaint("invalid_request", "missing required code challenge");
/// The person pressed Deny (behaviour 14).
pub const DENIED: Complaint = complaint("access_denied", "end-user denied authorization");
/// A scope that the app was not given.
pub const SCOPE_INVALID: Complaint = complaint("invalid_scope", "the requested scope is invalid");
/// `immediate=true`, and a person would have to be asked.
pub const NOT_IMMEDIATE: Complaint = complaint("immediate_unsuccessful", "");
/// Neither `code` nor anything else that we know.
pub const RESPONSE_TYPE: Complaint = complaint("unsupported_response_type", "response type not supported");
/// The administrator did not approve this person for the app.
pub const APP_DENIED: Complaint = complaint("OAUTH_APP_ACCESS_DENIED", "user is not admin approved to access this app");
/// Code too old, or used before (behaviour 15).
pub const CODE_EXPIRED: Complaint = complaint("invalid_grant", "expired authorization code");
/// No such code was ever given out.
pub const CODE_INVALID: Complaint = complaint("invalid_grant", "invalid authorization code");
/// The verifier is missing although a challenge was sent (behaviour 12).
pub const VERIFIER_MISSING: Complaint = complaint("invalid_grant", "missing required code verifier");
/// The verifier does not match the challenge (behaviour 12).
pub const VERIFIER_WRONG: Complaint = complaint("invalid_request", "invalid code verifier");
/// Wrong secret.
pub const SECRET_WRONG: Complaint = complaint("invalid_client", "invalid client credentials");
/// `scope` at the token endpoint (behaviour 16).
pub const SCOPE_UNSUPPORTED: Complaint = complaint("invalid_request", "scope parameter not supported");
/// No or another `grant_type`.
pub const GRANT_TYPE: Complaint = complaint("unsupported_grant_type", "grant type not supported");
/// The account is switched off.
pub const USER_INACTIVE: Complaint = complaint("inactive_user", "User is inactive");
/// Refresh token revoked, expired, evicted, or its family killed by re-use.
pub const TOKEN_EXPIRED: Complaint = complaint("invalid_grant", "expired access/refresh token");

/// What the callback may bring (2.3, behaviour 14).
pub const AT_AUTHORIZE: &[Complaint] = &[
    DENIED,
    complaint("access-denied", "end-user denied authorization"),
    SCOPE_INVALID,
    NOT_IMMEDIATE,
    RESPONSE_TYPE,
    complaint("invalid_request", ""),
    complaint("invalid_client", "app must be installed into org"),
    complaint("invalid_client", "invalid client credentials"),
    complaint(
        "OAUTH_APPROVAL_ERROR_GENERIC",
        "An unexpected error has occurred during authentication. Please try again.",
    ),
    complaint("OAUTH_APP_BLOCKED", "this app is blocked by admin"),
    APP_DENIED,
    complaint("OAUTH_AUTHORIZATION_BLOCKED", ""),
    complaint("invalid_session_level", ""),
    complaint("server_error", ""),
    complaint("service_unavailable", ""),
    complaint("system_down", ""),
    complaint("an_error_of_next_year", "that nobody has heard of yet"),
];

/// What the token endpoint may answer (2.6, behaviour 19): the seen descriptions, then every other code that
/// Salesforce's own enumeration has.
pub const AT_TOKEN: &[Complaint] = &[
    CODE_EXPIRED,
    CODE_INVALID,
    VERIFIER_MISSING,
    VERIFIER_WRONG,
    TOKEN_EXPIRED,
    complaint("invalid_grant", "authentication failure"),
    complaint("invalid_grant", "user hasn't approved this consumer"),
    complaint("invalid_grant", "ip restricted"),
    complaint("invalid_grant", "no valid scopes defined"),
    complaint("invalid_grant", "request not supported on this domain"),
    complaint("invalid_grant", "Audience validation failed"),
    complaint("invalid_app_access", "user is not admin approved to access this app"),
    SECRET_WRONG,
    complaint("invalid_client", "app must be installed into org"),
    CLIENT_UNKNOWN,
    REDIRECT_MISMATCH,
    SCOPE_INVALID,
    SCOPE_UNSUPPORTED,
    complaint("invalid_request", "HTTPS required"),
    complaint("invalid_request", "Must use HTTP POST"),
    GRANT_TYPE,
    USER_INACTIVE,
    complaint("inactive_org", "organization is inactive"),
    complaint("rate_limit_exceeded", "login rate exceeded"),
    complaint("NO_ACCESS", ""),
    complaint("access_denied", ""),
    complaint("app_blocked", ""),
    complaint("app_not_found", ""),
    complaint("authorization_pending", ""),
    complaint("bad_jti_claim", ""),
    complaint("app_attest_failed", ""),
    complaint("app_attest_failed_retry", ""),
    complaint("ecapp_policy_not_found", ""),
    complaint("exceeded_registration_limit", ""),
    complaint("fail_close_app_blocked", ""),
    complaint("failed_registration", ""),
    complaint("immediate_unsuccessful", ""),
    complaint("installation_error", ""),
    complaint("invalid_assertion_type", ""),
    complaint("invalid_basic_auth_header", ""),
    complaint("invalid_dpop_proof", ""),
    complaint("invalid_distribution_state", ""),
    complaint("invalid_expid", ""),
    complaint("invalid_otp", ""),
    complaint("invalid_session_level", ""),
    complaint("invalid_token", ""),
    complaint("login_error", ""),
    complaint("oauth_flow_disabled", ""),
    complaint("oauth_policy_not_found", ""),
    complaint("otp_error", ""),
    complaint("redirect_uri_missing", ""),
    complaint("registration_error", ""),
    complaint("server_error", ""),
    complaint("service_unavailable", ""),
    complaint("slow_down", ""),
    complaint("system_down", ""),
    complaint("unknown_error", ""),
    complaint("unsupported_expid", ""),
    complaint("unsupported_response_type", ""),
    complaint("unsupported_token_type", ""),
    complaint("use_dpop_nonce", ""),
    complaint("an_error_of_next_year", "that nobody has heard of yet"),
];
