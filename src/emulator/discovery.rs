//! Discovery document and key set, for each base that the pretend org answers at (behaviours 1 to 4).
//!
//! The issuer is the base that was asked, and everything else in the document lies under it. Called by the
//! emulator's dispatch.

use hyper::StatusCode;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::idtoken::ELSEWHERE;
use super::mischief::Mischief;
use super::{Base, BaseKind, Org, wire};
use crate::http::{self, Response};

/// In the order in which Salesforce serves them.
const SCOPES: &[&str] = &[
    "cdp_ingest_api",
    "custom_permissions",
    "cdp_segment_api",
    "content",
    "cdp_api",
    "chatbot_api",
    "cdp_identityresolution_api",
    "interaction_api",
    "wave_api",
    "web",
    "cdp_calculated_insight_api",
    "einstein_gpt_api",
    "offline_access",
    "id",
    "api",
    "data_cloud_user_claims",
    "eclair_api",
    "email",
    "pardot_api",
    "lightning",
    "visualforce",
    "cdp_query_api",
    "sfap_api",
    "address",
    "openid",
    "profile",
    "scrt_api",
    "cdp_profile_api",
    "refresh_token",
    "phone",
    "user_registration_api",
    "pwdless_login_api",
    "chatter_api",
    "mcp_api",
    "full",
    "forgot_password",
];
const CLAIMS: &[&str] = &[
    "active",
    "address",
    "email",
    "email_verified",
    "family_name",
    "given_name",
    "is_app_installed",
    "language",
    "locale",
    "name",
    "nickname",
    "organization_id",
    "phone_number",
    "phone_number_verified",
    "photos",
    "picture",
    "preferred_username",
    "profile",
    "sub",
    "updated_at",
    "urls",
    "user_id",
    "user_type",
    "zoneinfo",
];

impl Org {
    /// `/.well-known/openid-configuration` of that base.
    pub(super) fn discovery(&self, base: &Base) -> Response {
        self.note("discovery");
        let mischief = self.mischief();
        match mischief {
            Some(Mischief::DiscoveryHtml) => wire::html_page(StatusCode::OK),
            Some(Mischief::Discovery503) => wire::html_page(StatusCode::SERVICE_UNAVAILABLE),
            Some(Mischief::DiscoveryRedirect) => wire::redirect_elsewhere(StatusCode::FOUND),
            Some(Mischief::DiscoveryDown) => wire::hang_up(),
            _ => public(&document(base, mischief)),
        }
    }

    /// `/id/keys`.
    pub(super) fn key_set(&self) -> Response {
        self.note("keys");
        match self.mischief() {
            Some(Mischief::KeysHtml) => wire::html_page(StatusCode::OK),
            Some(Mischief::KeysDown) => wire::hang_up(),
            mischief => public(&self.keys.published(mischief)),
        }
    }
}

/// The document (behaviours 1 and 2).
pub(super) fn document(base: &Base, mischief: Option<Mischief>) -> Value {
    let issuer = &base.url;
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/services/oauth2/authorize"),
        "token_endpoint": format!("{issuer}/services/oauth2/token"),
        "revocation_endpoint": format!("{issuer}/services/oauth2/revoke"),
        "userinfo_endpoint": format!("{issuer}/services/oauth2/userinfo"),
        "jwks_uri": format!("{issuer}/id/keys"),
        "registration_endpoint": format!("{issuer}/services/oauth2/register"),
        "introspection_endpoint": format!("{issuer}/services/oauth2/introspect"),
        "scopes_supported": SCOPES,
        "response_types_supported": ["code", "token", "token id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "display_values_supported": ["page", "popup", "touch"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "private_key_jwt"],
        "claims_supported": CLAIMS,
    });
    // behaviour 2: My Domain and sites can end a session, the shared login host cannot
    if base.kind != BaseKind::Login {
        document["end_session_endpoint"] = json!(format!("{issuer}/services/auth/idp/oidc/logout"));
        document["frontchannel_logout_supported"] = json!(true);
        document["frontchannel_logout_session_supported"] = json!(false);
    }
    match mischief {
        Some(Mischief::DiscoveryGrown) => {
            document["dpop_signing_alg_values_supported"] =
                json!(["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"]);
            document["code_challenge_methods_supported"] = json!(["S256"]);
            document["grant_types_supported"] = json!(["authorization_code", "refresh_token"]);
        }
        Some(Mischief::DiscoveryWrongIssuer) => document["issuer"] = json!(ELSEWHERE),
        Some(Mischief::DiscoveryElsewhere) => {
            document["token_endpoint"] = json!(format!("{ELSEWHERE}/services/oauth2/token"));
            document["userinfo_endpoint"] = json!(format!("{ELSEWHERE}/services/oauth2/userinfo"));
            document["jwks_uri"] = json!(format!("{ELSEWHERE}/id/keys"));
        }
        _ => {}
    }
    document
}

/// Behaviour 3: anybody may read it and nobody may keep it.
fn public(document: &Value) -> Response {
    let mut response = http::json(StatusCode::OK, document);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache,must-revalidate,max-age=0,no-store,private"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
