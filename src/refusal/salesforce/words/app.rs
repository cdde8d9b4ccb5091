//! Errors about the request, the app's configuration in the org, and Salesforce itself.
//!
//! Names of Setup pages as Salesforce writes them, so that they can be found by Quick Find. Called by `words`.

use super::{Kind, Line};

pub(super) const SCOPE_NOT_SUPPORTED: Line = Line::new(
    Kind::Setup,
    "salesforce_scope_not_supported",
    "Salesforce did not expect a list of scopes at this step.",
    "The gateway never sends one at the token endpoint. Look for something on the way out that rewrites requests to \
     Salesforce.",
);

pub(super) const CHALLENGE_REQUIRED: Line = Line::new(
    Kind::Setup,
    "salesforce_challenge_required",
    "Salesforce did not receive the proof that protects this sign-in.",
    "The app requires PKCE, and the gateway always sends it. Look for a proxy or browser extension that drops the \
     code_challenge parameter.",
);

pub(super) const HTTPS_REQUIRED: Line = Line::new(
    Kind::Setup,
    "salesforce_https_required",
    "Salesforce accepts only encrypted requests.",
    "org must begin with https://, and the callback registered in Salesforce too (http is accepted for localhost \
     alone).",
);

pub(super) const WRONG_METHOD: Line = Line::new(
    Kind::Setup,
    "salesforce_wrong_method",
    "Salesforce expected another kind of request.",
    "A redirect on the way to Salesforce turns POST into GET: org must be https and the final address of the org.",
);

pub(super) const OUT_OF_BAND: Line = Line::new(
    Kind::Setup,
    "salesforce_out_of_band",
    "The address to come back to is of a kind that Salesforce no longer supports.",
    "The callback must be the https address that `portcullis check` prints.",
);

pub(super) const INVALID_REQUEST: Line = Line::new(
    Kind::Setup,
    "salesforce_invalid_request",
    "Salesforce did not accept the way this sign-in was asked for.",
    "The log line with this request id holds Salesforce's description of what it missed.",
);

pub(super) const UNSUPPORTED_GRANT_TYPE: Line = Line::new(
    Kind::Setup,
    "salesforce_unsupported_grant_type",
    "Salesforce does not serve this kind of sign-in at the address that the gateway uses.",
    "A redirect on the way turns POST into GET: org must be the final My Domain address, not one of \
     lightning.force.com.",
);

pub(super) const UNSUPPORTED_RESPONSE_TYPE: Line = Line::new(
    Kind::Setup,
    "salesforce_unsupported_response_type",
    "Salesforce does not offer this kind of sign-in for this app.",
    "In Salesforce: Setup, OAuth and OpenID Connect Settings, the web server flow must not be blocked; in the app, \
     OAuth must be enabled.",
);

pub(super) const UNSUPPORTED_TOKEN_TYPE: Line = Line::new(
    Kind::Setup,
    "salesforce_unsupported_token_type",
    "Salesforce does not know this kind of token.",
    "The log line with this request id names the step. Check that org is the address of the org that issued the \
     token.",
);

pub(super) const FLOW_DISABLED: Line = Line::new(
    Kind::Setup,
    "salesforce_flow_disabled",
    "This kind of sign-in is switched off in your Salesforce organization.",
    "In Salesforce: Setup, OAuth and OpenID Connect Settings, and the flow settings of the app: allow the web server \
     (authorization code) flow.",
);

pub(super) const POLICY_NOT_FOUND: Line = Line::new(
    Kind::Setup,
    "salesforce_policy_not_found",
    "The app has no access policy in your Salesforce organization.",
    "In Salesforce: Setup, External Client App Manager, the app, Policies: edit and save the OAuth policies once, so \
     that they exist; for a connected app: Manage Connected Apps, Edit Policies.",
);

pub(super) const DISTRIBUTION_STATE: Line = Line::new(
    Kind::Setup,
    "salesforce_distribution_state",
    "The app is not in a state that lets people sign in.",
    "An External Client App that is Local serves only its own org; one that is Packaged must be released and \
     installed. See its Distribution State in External Client App Manager.",
);

pub(super) const DPOP_REQUIRED: Line = Line::new(
    Kind::Setup,
    "salesforce_dpop_required",
    "The app is set up in Salesforce for a kind of token that is not used here.",
    "In the app's settings in Salesforce, do not require DPoP (demonstrating proof of possession).",
);

pub(super) const APP_ATTESTATION: Line = Line::new(
    Kind::Setup,
    "salesforce_app_attestation",
    "Salesforce asks this app for a proof that only mobile apps can give.",
    "In the app's settings in Salesforce, switch mobile app attestation off, or make an app of its own for the \
     gateway.",
);

pub(super) const REGISTRATION: Line = Line::new(
    Kind::Setup,
    "salesforce_registration",
    "Salesforce could not complete a registration.",
    "The log line with this request id holds Salesforce's description. Headless registration is not needed: let \
     people sign in at the org's own login page.",
);

pub(super) const EXPERIENCE_ID: Line = Line::new(
    Kind::Setup,
    "salesforce_experience_id",
    "Salesforce does not know the login page that was asked for.",
    "Check the address of the Experience Cloud site in org, and that the site is published.",
);

pub(super) const DEVICE_FLOW: Line = Line::new(
    Kind::Setup,
    "salesforce_device_flow",
    "Salesforce took this sign-in for another kind than it is.",
    "The gateway never uses the device flow. Check that nothing on the way out rewrites requests to Salesforce.",
);

pub(super) const SERVER_ERROR: Line = Line::new(
    Kind::Down,
    "salesforce_server_error",
    "Salesforce had a failure of its own.",
    "See status.salesforce.com for your instance. If it lasts, give Salesforce Support the time of the log line with \
     this request id.",
);

pub(super) const SERVICE_UNAVAILABLE: Line = Line::new(
    Kind::Down,
    "salesforce_service_unavailable",
    "Salesforce does not serve sign-ins right now.",
    "See status.salesforce.com for your instance: maintenance looks like this.",
);

pub(super) const SYSTEM_DOWN: Line = Line::new(
    Kind::Down,
    "salesforce_system_down",
    "Salesforce is down right now.",
    "See status.salesforce.com for your instance: maintenance looks like this.",
);

pub(super) const UNKNOWN_ERROR: Line = Line::new(
    Kind::Down,
    "salesforce_unknown_error",
    "Salesforce had a failure that it does not explain.",
    "If it happens again: Setup, Login History, and the log line with this request id. An app that belongs to another \
     org than the one asked can cause it too.",
);

pub(super) const UNKNOWN: Line = Line::new(
    Kind::Setup,
    "salesforce_unrecognised",
    "Salesforce refused the sign-in for a reason that this gateway does not know.",
    "The log line with this request id holds Salesforce's own words.",
);
