//! Errors about the person, the org, and whether this person may use this app there.
//!
//! Names of Setup pages as Salesforce writes them, so that they can be found by Quick Find. Called by `words`.

use super::{Kind, Line};

pub(super) const ACCESS_DENIED: Line = Line::new(
    Kind::Declined,
    "salesforce_access_denied",
    "You pressed Deny when Salesforce asked whether this app may know who you are.",
    "Nothing has to change. To spare people the question, pre-authorize the app: in its OAuth policies set Permitted \
     Users to \"Admin approved users are pre-authorized\" and add their profile or a permission set.",
);

pub(super) const APP_BLOCKED: Line = Line::new(
    Kind::Person,
    "salesforce_app_blocked",
    "An administrator of your Salesforce organization has blocked this app.",
    "In Salesforce: Setup, Connected Apps OAuth Usage, find the app, click Unblock. For an External Client App: \
     Setup, External Client App Manager, the app, Policies, enable the app.",
);

pub(super) const FAIL_CLOSE_APP_BLOCKED: Line = Line::new(
    Kind::Person,
    "salesforce_fail_close_app_blocked",
    "Salesforce could not confirm that this app may be used, and blocked it to be safe.",
    "In Salesforce: Setup, Connected Apps OAuth Usage, check that the app is installed and not blocked. If API Access \
     Control is on, the app must be on its list of approved apps.",
);

pub(super) const APP_ACCESS_DENIED: Line = Line::new(
    Kind::Person,
    "salesforce_app_access_denied",
    "Only people whom an administrator has approved may use this app, and you are not among them yet.",
    "The app's Permitted Users is \"Admin approved users are pre-authorized\". Add the person's profile, or a \
     permission set that they have: Setup, External Client App Manager, the app, Policies, Edit, App Policies; for a \
     connected app: Setup, Manage Connected Apps, the app, Manage Profiles or Manage Permission Sets.",
);

pub(super) const INVALID_APP_ACCESS: Line = Line::new(
    Kind::Person,
    "salesforce_invalid_app_access",
    "Only people whom an administrator has approved may use this app, and you are not among them yet.",
    "The app's Permitted Users is \"Admin approved users are pre-authorized\". Add the person's profile, or a \
     permission set that they have: Setup, External Client App Manager, the app, Policies, Edit, App Policies; for a \
     connected app: Setup, Manage Connected Apps, the app, Manage Profiles or Manage Permission Sets.",
);

pub(super) const NO_ACCESS: Line = Line::new(
    Kind::Person,
    "salesforce_no_access",
    "Salesforce says that you may not use this app.",
    "Give the person's profile or permission set access to the app (Policies of the app in External Client App \
     Manager, or Manage Profiles of the connected app), and check API Access Control.",
);

pub(super) const APPROVAL_ERROR: Line = Line::new(
    Kind::Person,
    "salesforce_approval_error",
    "Salesforce could not complete the approval of this app for you.",
    "Four usual causes: the app is not installed in this org (Setup, Connected Apps OAuth Usage, Install); the app \
     lacks a scope that the gateway asks for (openid, profile, email); the person has an integration or API-only \
     licence; the app was created less than ten minutes ago.",
);

pub(super) const AUTHORIZATION_BLOCKED: Line = Line::new(
    Kind::Person,
    "salesforce_authorization_blocked",
    "A policy of your Salesforce organization blocked this sign-in.",
    "Check the app's Permitted Users and its profiles and permission sets, API Access Control, and whether the person \
     was signed in to the org that the app belongs to.",
);

pub(super) const CROSS_ORG: Line = Line::new(
    Kind::Person,
    "salesforce_cross_org",
    "This app belongs to one Salesforce organization, and your browser is signed in to another.",
    "An External Client App with the distribution state Local serves only its own org. Let org be that org's My \
     Domain address; people signed in elsewhere have to sign out there first.",
);

pub(super) const EXTERNAL_APP_NOT_FOUND: Line = Line::new(
    Kind::Setup,
    "salesforce_external_app_not_found",
    "Salesforce does not find this app in your organization.",
    "Let org be the My Domain address of the org that the External Client App was created in, not \
     login.salesforce.com; or package the app and install it in this org. Check that client_id is its Consumer Key.",
);

pub(super) const APP_NOT_FOUND: Line = Line::new(
    Kind::Setup,
    "salesforce_app_not_found",
    "Salesforce does not find this app in your organization.",
    "Check that the app still exists in the org (Setup, External Client App Manager, or App Manager), that client_id \
     is its Consumer Key, and that org is the address of that very org.",
);

pub(super) const APP_NOT_INSTALLED: Line = Line::new(
    Kind::Person,
    "salesforce_app_not_installed",
    "This app is not installed in your Salesforce organization, and Salesforce lets nobody use it until it is.",
    "In Salesforce: Setup, Connected Apps OAuth Usage, find the app, click Install. Only people with the permission \
     \"Approve Uninstalled Connected Apps\" can sign in before. An app that was created in this org itself counts as \
     installed.",
);

pub(super) const INSTALLATION_ERROR: Line = Line::new(
    Kind::Setup,
    "salesforce_installation_error",
    "The app's installation in your Salesforce organization is not complete.",
    "In Salesforce: uninstall the app and install it once more (Setup, Connected Apps OAuth Usage).",
);

pub(super) const INACTIVE_USER: Line = Line::new(
    Kind::Person,
    "salesforce_inactive_user",
    "Salesforce says that your user is not active.",
    "In Salesforce: Setup, Users, the person's user, tick Active. A frozen user has to be unfrozen.",
);

pub(super) const INACTIVE_ORG: Line = Line::new(
    Kind::Person,
    "salesforce_inactive_org",
    "Your Salesforce organization is locked, closed or suspended.",
    "Ask your contact at Salesforce. For a sandbox, check that it was not deleted or is not being refreshed.",
);

pub(super) const WRONG_ORG: Line = Line::new(
    Kind::Person,
    "salesforce_wrong_org",
    "Salesforce says that your sign-in belongs to another organization.",
    "Check that org is the My Domain address of the people's own org, and that organizations lists that org.",
);

pub(super) const IP_RESTRICTED: Line = Line::new(
    Kind::Person,
    "salesforce_ip_restricted",
    "Your Salesforce organization does not allow sign-in from this network or at this hour.",
    "In Salesforce: Setup, Profiles, the person's profile, Login IP Ranges and Login Hours. The gateway itself calls \
     Salesforce too: its own outgoing address may need to be in the ranges, or the app's IP Relaxation must be \
     relaxed (OAuth policies of the app).",
);

pub(super) const AUTHENTICATION_FAILURE: Line = Line::new(
    Kind::Person,
    "salesforce_authentication_failure",
    "Salesforce could not confirm your login.",
    "In Salesforce: Setup, Users, the person's user, Login History shows the reason: deactivated, frozen, locked out, \
     or a password that has to be changed.",
);

pub(super) const NOT_APPROVED: Line = Line::new(
    Kind::Person,
    "salesforce_not_approved",
    "You have not approved this app in Salesforce.",
    "People approve the app at their first sign-in. To approve it for them, set Permitted Users to \"Admin approved \
     users are pre-authorized\" and add their profile or a permission set.",
);

pub(super) const PREAUTHORIZATION_REQUIRED: Line = Line::new(
    Kind::Person,
    "salesforce_preauthorization_required",
    "Salesforce wants this app to be installed and approved for you by an administrator.",
    "Install the app (Setup, Connected Apps OAuth Usage), set Permitted Users to \"Admin approved users are \
     pre-authorized\", and add the person's profile or a permission set.",
);

pub(super) const SESSION_LEVEL: Line = Line::new(
    Kind::Person,
    "salesforce_session_level",
    "This app requires a stronger kind of login than the one you used.",
    "The app's session policy asks for a high-assurance session. In Salesforce: Setup, Session Settings, Session \
     Security Levels: put the people's login method under High Assurance; or let the app's policy raise the level \
     instead of blocking.",
);

pub(super) const RATE_LIMIT: Line = Line::new(
    Kind::Slower,
    "salesforce_rate_limit",
    "You signed in to Salesforce more often than it allows in an hour.",
    "Salesforce allows 3,600 logins of one user in an hour. People do not reach that: look for a script that shares \
     the user, or for a redirect loop in the log.",
);

pub(super) const LOGIN_ERROR: Line = Line::new(
    Kind::Again,
    "salesforce_login_error",
    "The login at Salesforce failed.",
    "In Salesforce: Setup, Login History shows the reason for the person's user.",
);

pub(super) const ONE_TIME_PASSWORD: Line = Line::new(
    Kind::Again,
    "salesforce_one_time_password",
    "The one-time password was not accepted by Salesforce.",
    "If the person has lost the device: Setup, Users, the person's user, disconnect the registered method, so that \
     they can register a new one.",
);

pub(super) const IMMEDIATE_UNSUCCESSFUL: Line = Line::new(
    Kind::Again,
    "salesforce_immediate_unsuccessful",
    "Salesforce needs you to sign in or to approve this app first.",
    "Nothing to change: the gateway never asks for an immediate answer, so somebody changed the address on the way.",
);
