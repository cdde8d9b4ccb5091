//! What the pretend org does wrong when it is told to: nobody gets in by it, and each has its words.

use super::*;

/// What each mischief beside the error codes is called on the page.
const NAMED: &[(&str, &str)] = &[
    ("wrong-nonce", "provider_nonce"),
    ("missing-nonce", "provider_nonce"),
    ("alg-none", "provider_id_token_algorithm"),
    ("hs256-public-key", "provider_id_token_algorithm"),
    ("foreign-key", "provider_signature"),
    ("key-in-header", "provider_signature"),
    ("unknown-kid", "provider_unknown_key"),
    ("missing-kid", "provider_unknown_key"),
    ("core-atjwt-key", "provider_unknown_key"),
    ("access-token-as-id-token", "provider_id_token_malformed"),
    ("broken-signature", "provider_signature"),
    ("critical-header", "provider_id_token_algorithm"),
    ("garbled-id-token", "provider_id_token_malformed"),
    ("stale-token", "provider_times"),
    ("future-token", "provider_times"),
    ("missing-exp", "provider_times"),
    ("wrong-issuer", "provider_issuer"),
    ("wrong-audience", "provider_audience"),
    ("foreign-audiences", "provider_audience"),
    ("missing-at-hash", "provider_access_token_hash"),
    ("wrong-at-hash", "provider_access_token_hash"),
    ("wrong-subject", "provider_identity_address"),
    ("malformed-subject", "provider_subject"),
    ("foreign-organization", "wrong_organization"),
    ("no-id-token", "provider_no_id_token"),
    ("wrong-response-signature", "provider_response_signature"),
    ("token-type-mac", "provider_token_type"),
    ("no-access-token", "provider_unreadable_answer"),
    ("token-slow", "provider_timeout"),
    ("token-down", "provider_unreachable"),
    ("token-500-html", "provider_unreachable"),
    ("token-503-html", "provider_unreachable"),
    ("token-200-html", "provider_unreadable_answer"),
    ("token-oversized", "provider_answer_too_large"),
    ("token-redirect", "provider_unexpected_status"),
    ("userinfo-other-subject", "provider_userinfo_subject"),
    ("userinfo-403", "salesforce_bad_token"),
    ("userinfo-html", "provider_unreadable_answer"),
    ("userinfo-redirect", "provider_unexpected_status"),
    ("userinfo-oversized", "provider_answer_too_large"),
    ("userinfo-down", "provider_unreachable"),
    ("userinfo-inactive", "inactive_user"),
    ("discovery-wrong-issuer", "provider_discovery_issuer"),
    ("discovery-elsewhere", "provider_endpoint_elsewhere"),
    ("discovery-html", "provider_unreadable_answer"),
    ("discovery-503", "provider_unreachable"),
    ("discovery-redirect", "provider_unexpected_status"),
    ("discovery-down", "provider_unreachable"),
    ("keys-empty", "provider_unknown_key"),
    ("keys-html", "provider_unreadable_answer"),
    ("keys-down", "provider_unreachable"),
    ("state-changed", "attempt_missing"),
    ("state-missing", "state_mismatch"),
    ("state-twice", "parameter_repeated"),
    ("code-missing", "callback_incomplete"),
    ("code-forged", "salesforce_invalid_code"),
    ("code-twice", "parameter_repeated"),
    ("code-and-error", "salesforce_access_denied"),
    ("wrong-iss-parameter", "issuer_mismatch"),
];

/// The code of the page that a mischief must end at.
fn expected(mischief: Mischief) -> &'static str {
    match mischief {
        Mischief::CallbackError(said) | Mischief::TokenError(said) => {
            let description = Some(said.description).filter(|words| !words.is_empty());
            SalesforceError::recognise(said.error, description).code()
        }
        _ => NAMED.iter().find(|(name, _)| *name == mischief.name()).map_or("nothing yet", |(_, code)| code),
    }
}

/// Whether it spoils what is fetched once: then it has to begin before the gateway does.
fn is_at_the_start(mischief: Mischief) -> bool {
    let name = mischief.name();
    name.starts_with("discovery") || name.starts_with("keys")
}

#[tokio::test]
async fn no_mischief_lets_anybody_in() {
    let quick = || with("timeout = \"2s\"");
    let world = quick().start().await;
    for &mischief in Mischief::ALL.iter().filter(|mischief| !mischief.is_benign()) {
        let code = if is_at_the_start(mischief) {
            nobody_gets_in(&quick().mischief(mischief).start().await, STANDARD, "allow").await
        } else {
            world.org.forget();
            world.org.set(mischief);
            nobody_gets_in(&world, STANDARD, "allow").await
        };
        assert_eq!(code, expected(mischief), "{mischief}");
    }
    world.org.behave();
    everybody_gets_in(&world).await;
}

#[tokio::test]
async fn a_token_endpoint_that_is_slow_is_given_up() {
    let world = with("timeout = \"200ms\"").start().await;
    world.org.set(Mischief::TokenSlow);
    let patience = tokio::time::timeout(Duration::from_secs(5), nobody_gets_in(&world, STANDARD, "allow"));
    assert_eq!(patience.await.expect("the page comes soon"), "provider_timeout");
}

#[tokio::test]
async fn salesforces_own_errors_have_their_own_pages() {
    for (mischief, code, status) in [
        (Mischief::callback_error("OAUTH_APP_BLOCKED"), SalesforceError::AppBlocked, 403),
        (Mischief::callback_error("access_denied"), SalesforceError::AccessDenied, 403),
        (Mischief::callback_error("OAUTH_APP_ACCESS_DENIED"), SalesforceError::AppAccessDenied, 403),
        (Mischief::callback_error("OAUTH_APPROVAL_ERROR_GENERIC"), SalesforceError::ApprovalError, 403),
        (Mischief::token_error("invalid_app_access"), SalesforceError::InvalidAppAccess, 403),
        (Mischief::token_error("redirect_uri_mismatch"), SalesforceError::RedirectUriMismatch, 502),
        (Mischief::token_error("inactive_user"), SalesforceError::InactiveUser, 403),
        (Mischief::token_error("inactive_org"), SalesforceError::InactiveOrg, 403),
        (Mischief::token_error("rate_limit_exceeded"), SalesforceError::RateLimit, 429),
        (Mischief::token_error("system_down"), SalesforceError::SystemDown, 503),
        (Mischief::token_error("an_error_of_next_year"), SalesforceError::Unknown, 502),
        (
            "callback-error:invalid_client/app must be installed into org".parse().ok(),
            SalesforceError::AppNotInstalled,
            403,
        ),
    ] {
        let mischief = mischief.expect("a known error");
        let world = World::with().mischief(mischief).start().await;
        let reply = world.browser().try_sign_in(&world.at("/page"), STANDARD, "allow").await;
        assert_eq!((explained(&reply).as_str(), reply.status.as_u16()), (code.code(), status), "{mischief}");
        assert_eq!(
            world
                .metric(&format!("portcullis_sign_ins_total{{provider=\"salesforce\",outcome=\"{}\"}}", code.code()))
                .await,
            1
        );
    }
}
