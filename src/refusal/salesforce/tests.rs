//! Salesforce's errors, in its own words, and what is told of them.

use super::*;

/// The server's own enumeration, as Salesforce's mobile SDK mirrors it, and what its documentation adds.
const LISTED: [&str; 51] = [
    "access_denied",
    "app_blocked",
    "app_not_found",
    "authorization_pending",
    "bad_jti_claim",
    "app_attest_failed",
    "app_attest_failed_retry",
    "ecapp_policy_not_found",
    "exceeded_registration_limit",
    "fail_close_app_blocked",
    "failed_registration",
    "immediate_unsuccessful",
    "installation_error",
    "invalid_app_access",
    "invalid_assertion_type",
    "invalid_basic_auth_header",
    "invalid_dpop_proof",
    "invalid_client",
    "invalid_client_id",
    "invalid_distribution_state",
    "invalid_expid",
    "invalid_grant",
    "invalid_otp",
    "invalid_request",
    "invalid_scope",
    "invalid_session_level",
    "invalid_token",
    "login_error",
    "oauth_flow_disabled",
    "oauth_policy_not_found",
    "otp_error",
    "redirect_uri_missing",
    "redirect_uri_mismatch",
    "registration_error",
    "server_error",
    "service_unavailable",
    "slow_down",
    "system_down",
    "unknown_error",
    "unsupported_expid",
    "unsupported_grant_type",
    "unsupported_response_type",
    "unsupported_token_type",
    "use_dpop_nonce",
    "inactive_user",
    "inactive_org",
    "rate_limit_exceeded",
    "NO_ACCESS",
    "OAUTH_APP_BLOCKED",
    "OAUTH_APP_ACCESS_DENIED",
    "OAUTH_APPROVAL_ERROR_GENERIC",
];

#[test]
fn every_listed_error_is_known() {
    for error in LISTED {
        assert_ne!(SalesforceError::recognise(error, None), SalesforceError::Unknown, "{error}");
    }
}

#[test]
fn every_error_but_the_unknown_can_be_recognised() {
    let described = [
        ("invalid_grant", "expired authorization code"),
        ("invalid_grant", "invalid authorization code"),
        ("invalid_grant", "Invalid Code Verifier"),
        ("invalid_grant", "authentication failure"),
        ("invalid_grant", "expired access/refresh token"),
        ("invalid_grant", "user hasn't approved this consumer"),
        ("invalid_grant", "IP restricted or invalid login hours"),
        ("invalid_grant", "no valid scopes defined"),
        ("invalid_grant", "request not supported on this domain"),
        ("invalid_grant", "device flow is not enabled for the app"),
        ("invalid_grant", "Audience validation failed"),
        ("invalid_client", "app must be installed into org"),
        ("invalid_client", "invalid client credentials"),
        ("invalid_request", "scope parameter not supported"),
        ("invalid_request", "missing required code challenge"),
        ("invalid_request", "HTTPS required"),
        ("invalid_request", "Must use HTTP POST"),
        ("invalid_request", "Out-of-band not supported"),
        (
            "invalid_request",
            "refresh_token scope is required and the connected app should be installed and preauthorized",
        ),
        ("OAUTH_AUTHORIZATION_BLOCKED", "Cross-org OAuth flows are not supported for this external client app"),
    ];
    let bare = ["OAUTH_AUTHORIZATION_BLOCKED", "OAUTH_EC_APP_NOT_FOUND", "Wrong_Org", "Missing_OAuth_Token"];
    let mut seen: Vec<_> = LISTED.iter().chain(&bare).map(|error| SalesforceError::recognise(error, None)).collect();
    seen.extend(described.map(|(error, description)| SalesforceError::recognise(error, Some(description))));
    for error in SalesforceError::ALL {
        assert!(seen.contains(error) || *error == SalesforceError::Unknown, "{error:?}");
    }
}

#[test]
fn capitals_and_hyphens_make_no_difference() {
    for error in ["access_denied", "access-denied", "ACCESS_DENIED", " Access-Denied "] {
        assert_eq!(SalesforceError::recognise(error, None), SalesforceError::AccessDenied, "{error}");
    }
    assert_eq!(SalesforceError::recognise("Bad_OAuth_Token", None), SalesforceError::BadToken);
    let restricted = SalesforceError::recognise("INVALID_GRANT", Some("IP Restricted"));
    assert_eq!(restricted, SalesforceError::IpRestricted);
}

#[test]
fn one_code_with_many_meanings_is_told_apart_by_its_description() {
    assert_eq!(SalesforceError::recognise("invalid_grant", None), SalesforceError::InvalidGrant);
    assert_eq!(SalesforceError::recognise("invalid_grant", Some("new words")), SalesforceError::InvalidGrant);
    assert_eq!(SalesforceError::recognise("invalid_client", Some("")), SalesforceError::InvalidClient);
    assert_eq!(SalesforceError::recognise("invalid_request", Some("?")), SalesforceError::InvalidRequest);
}

#[test]
fn odd_and_huge_errors_are_unknown() {
    let huge = "x".repeat(1 << 20);
    for error in ["", "\0", "access denied", "<script>", &huge] {
        assert_eq!(SalesforceError::recognise(error, Some(&huge)), SalesforceError::Unknown);
    }
}

#[test]
fn the_status_says_whose_concern_it_is() {
    let status = |error: SalesforceError| error.entry().status.as_u16();
    assert_eq!(status(SalesforceError::AppAccessDenied), 403);
    assert_eq!(status(SalesforceError::AccessDenied), 403);
    assert_eq!(status(SalesforceError::RedirectUriMismatch), 502);
    assert_eq!(status(SalesforceError::SystemDown), 503);
    assert_eq!(status(SalesforceError::ExpiredCode), 400);
    assert_eq!(status(SalesforceError::RateLimit), 429);
}
