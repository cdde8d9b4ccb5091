//! Errors about what was exchanged: codes, tokens, the app's credentials, its callback and scopes.
//!
//! Names of Setup pages as Salesforce writes them, so that they can be found by Quick Find. Called by `words`.

use super::{Kind, Line};

pub(super) const EXPIRED_CODE: Line = Line::new(
    Kind::Again,
    "salesforce_expired_code",
    "The sign-in code from Salesforce was used before or is older than fifteen minutes.",
    "Now and then this is a reload or the back button. If it happens to everybody, something between browser and \
     gateway sends each request twice.",
);

pub(super) const INVALID_CODE: Line = Line::new(
    Kind::Again,
    "salesforce_invalid_code",
    "Salesforce does not know the sign-in code that your browser brought back.",
    "If it happens to everybody, a proxy in front decodes or re-encodes query strings, or the code was issued by \
     another host than org.",
);

pub(super) const INVALID_VERIFIER: Line = Line::new(
    Kind::Again,
    "salesforce_invalid_verifier",
    "The sign-in code from Salesforce belongs to another sign-in than this one.",
    "Once: a mixed-up tab, or a stolen code that was rightly refused. Always: something between browser and \
     Salesforce drops the code_challenge parameter.",
);

pub(super) const EXPIRED_TOKEN: Line = Line::new(
    Kind::Again,
    "salesforce_expired_token",
    "Your sign-in at Salesforce has ended or was taken back.",
    "Nothing to change, unless the app's refresh token policy or session timeout in Salesforce is shorter than you \
     want.",
);

pub(super) const BAD_TOKEN: Line = Line::new(
    Kind::Again,
    "salesforce_bad_token",
    "Salesforce did not accept the token that it had just issued.",
    "Check that org is the final address of the org (no redirect to another host), and that nobody revoked the \
     session meanwhile. If the app restricts IP addresses, the gateway's own must be allowed.",
);

pub(super) const MISSING_TOKEN: Line = Line::new(
    Kind::Setup,
    "salesforce_missing_token",
    "Salesforce did not receive the token that it had just issued.",
    "Something on the way out removes the Authorization header, or org redirects to another host. Write the final My \
     Domain address; if a proxy drops the header, set userinfo_method to the other one.",
);

pub(super) const INVALID_GRANT: Line = Line::new(
    Kind::Again,
    "salesforce_invalid_grant",
    "Salesforce did not accept the sign-in code that your browser brought back.",
    "The log line with this request id holds Salesforce's description. In Salesforce, Setup, Login History shows the \
     same event from the other side.",
);

pub(super) const AUDIENCE_FAILED: Line = Line::new(
    Kind::Setup,
    "salesforce_audience_failed",
    "Salesforce says that the gateway's signed credentials are meant for somebody else.",
    "The audience of the client's assertion must be the org that is asked: check that org is the address that people \
     sign in at, a sandbox address for a sandbox.",
);

pub(super) const NO_VALID_SCOPES: Line = Line::new(
    Kind::Setup,
    "salesforce_no_valid_scopes",
    "The app has no scopes in Salesforce.",
    "In Salesforce, add these scopes to the app: \"Access unique user identifiers (openid)\" and \"Access the \
     identity URL service (id, profile, email, address, phone)\".",
);

pub(super) const WRONG_DOMAIN: Line = Line::new(
    Kind::Setup,
    "salesforce_wrong_domain",
    "Salesforce does not serve this request at the address that the gateway uses.",
    "Let org be the My Domain address (https://NAME.my.salesforce.com) instead of login.salesforce.com or \
     test.salesforce.com.",
);

pub(super) const DEVICE_FLOW_DISABLED: Line = Line::new(
    Kind::Setup,
    "salesforce_device_flow_disabled",
    "Salesforce took this sign-in for another kind than it is.",
    "The gateway never uses the device flow. Check that nothing on the way out rewrites requests to Salesforce.",
);

pub(super) const INVALID_CLIENT_ID: Line = Line::new(
    Kind::Setup,
    "salesforce_invalid_client_id",
    "Salesforce does not know this app.",
    "client_id must be the app's Consumer Key, whole and without spaces. The app must belong to the org at that \
     address: a sandbox has its own apps and its own address. A new or changed app takes two to ten minutes to be \
     known.",
);

pub(super) const INVALID_CLIENT_CREDENTIALS: Line = Line::new(
    Kind::Setup,
    "salesforce_invalid_client_credentials",
    "Salesforce did not accept the password of this app.",
    "client_secret must be the app's Consumer Secret: copy it once more (Settings of the app, Consumer Key and \
     Secret). If \"Require Secret for Web Server Flow\" is unticked, a wrong secret is refused all the same: leave it \
     out or correct it.",
);

pub(super) const INVALID_CLIENT: Line = Line::new(
    Kind::Setup,
    "salesforce_invalid_client",
    "Salesforce did not accept the credentials of this app.",
    "Check client_id and client_secret against the app's Consumer Key and Secret, and the way they are sent \
     (client_secret_post works everywhere).",
);

pub(super) const INVALID_BASIC_HEADER: Line = Line::new(
    Kind::Setup,
    "salesforce_invalid_basic_header",
    "Salesforce could not read the credentials of this app.",
    "Let the gateway send the secret in the form (client_secret_post, the default) instead of a header.",
);

pub(super) const INVALID_ASSERTION: Line = Line::new(
    Kind::Setup,
    "salesforce_invalid_assertion",
    "Salesforce did not accept the signed credentials of this app.",
    "For private_key_jwt the app needs the matching certificate (\"Use digital signatures\"), and the gateway's clock \
     must be right.",
);

pub(super) const REDIRECT_URI_MISMATCH: Line = Line::new(
    Kind::Setup,
    "salesforce_redirect_uri_mismatch",
    "The address to come back to is not registered in Salesforce.",
    "Add the gateway's callback to the Callback URL field of the app, one on each line, exactly as `portcullis check` \
     prints it: scheme, host, port and path. A change takes two to ten minutes.",
);

pub(super) const REDIRECT_URI_MISSING: Line = Line::new(
    Kind::Setup,
    "salesforce_redirect_uri_missing",
    "The address to come back to did not arrive at Salesforce.",
    "The gateway always sends it. Look for a proxy or browser extension that rewrites addresses.",
);

pub(super) const INVALID_SCOPE: Line = Line::new(
    Kind::Setup,
    "salesforce_invalid_scope",
    "The app asks for something that it is not set up for in Salesforce.",
    "In Salesforce, add these scopes to the app: \"Access unique user identifiers (openid)\" and \"Access the \
     identity URL service (id, profile, email, address, phone)\", and every other that scopes in the provider's \
     configuration names.",
);
