//! `[provider.NAME]` with `protocol = "oidc"`: the Salesforce org and how the gateway is known there.
//!
//! Settings that exclude each other, ask for too much or let in more people than meant are refused here, in
//! words of the configuration. Called by `config::providers`.

use std::path::PathBuf;
use std::time::Duration;

use super::credential::{Shape, secret};
use super::org;
use super::problem::Wrong;
use super::reader::{Table, Written};
use super::value::{choice, duration, words};
use crate::identity::oidc::{ClientAuthentication, MAX_CLOCK_SKEW, Settings, UserInfoMethod, UserTypes};
use crate::identity::salesforce::{OrgId, is_shared_login_host};
use crate::identity::{ProviderName, salesforce};

/// The keys of OpenID Connect.
pub(super) fn settings(table: &Table<'_>, name: ProviderName) -> Option<Settings> {
    table.require("org", "write the org's address: org = \"https://NAME.my.salesforce.com\"");
    let org = table.get("org", None, Written::Text, org::read);
    table.require("client_id", "write the consumer key of the app in Salesforce");
    let client_id = table.get("client_id", None, Written::Text, client_id);
    let client = client(table);
    let organizations = table.list("organizations", &[], organization);
    let user_types = table.list("user_types", &["STANDARD"], user_type).and_then(|types| kinds(table, types));
    let scopes = table.list("scopes", &["openid", "profile", "email"], scope);
    if scopes.as_ref().is_some_and(|scopes| !scopes.iter().any(|scope| scope == "openid")) {
        table.complain("scopes", "lacks openid, without which Salesforce says not who signed in", "add \"openid\"");
    }
    let methods = [("get", UserInfoMethod::Get), ("post", UserInfoMethod::Post)];
    let userinfo = table.get("userinfo_method", Some("get"), Written::Text, |text| choice(text, &methods));
    let skew = |text: &str| duration(text, Duration::ZERO, MAX_CLOCK_SKEW);
    let clock_skew = table.get("clock_skew", Some("60s"), Written::Text, skew);
    let bounds = |text: &str| duration(text, Duration::from_millis(100), Duration::from_secs(60));
    let timeout = table.get("timeout", Some("10s"), Written::Text, bounds);
    let ca = certificates_file(table);
    let shared = org.as_ref().and_then(|org| org.host_str()).filter(|host| is_shared_login_host(host));
    if let (Some(host), Some([])) = (shared, organizations.as_deref()) {
        table.complain(
            "organizations",
            format!(
                "is empty, but {host} signs in the users of every Salesforce org: anybody with any org could come in"
            ),
            "write organizations = [\"00D...\"] with the ids of your orgs, or the My Domain address as org",
        );
    }
    Some(Settings {
        name,
        org: org?,
        client_id: client_id?,
        client: client?,
        organizations: organizations?,
        user_types: user_types?,
        scopes: scopes?,
        userinfo: userinfo?,
        clock_skew: clock_skew?,
        timeout: timeout?,
        ca: if table.has("ca") { Some(ca?) } else { None },
    })
}

/// The file of certificates to trust beside the system's.
pub(super) fn certificates_file(table: &Table<'_>) -> Option<PathBuf> {
    table.get("ca", None, Written::Text, |text| {
        let path = table.reader.sources.resolve(text);
        let shown = path.display();
        let instead = "name a PEM file of CA certificates";
        match std::fs::read_to_string(&path) {
            Ok(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => Ok(path),
            Ok(_) => Err(Wrong::new(format!("the file {shown} holds no certificate"), instead)),
            Err(error) => Err(Wrong::new(format!("the file {shown} cannot be read: {error}"), instead)),
        }
    })
}

fn client_id(text: &str) -> Result<String, Wrong> {
    if text.ends_with("...") || text.contains(char::is_whitespace) {
        return Err(Wrong::new(
            "is not a consumer key",
            "copy it from the app in Salesforce: it begins with 3MVG9 and has no spaces",
        ));
    }
    words(text)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Post,
    Basic,
    Key,
    Nothing,
}

fn client(table: &Table<'_>) -> Option<ClientAuthentication> {
    let methods = [
        ("client_secret_post", Method::Post),
        ("client_secret_basic", Method::Basic),
        ("private_key_jwt", Method::Key),
        ("none", Method::Nothing),
    ];
    let asked = table.get("client_authentication", None, Written::Text, |text| choice(text, &methods));
    let client_secret = secret(table, "client_secret", Shape::Word);
    let client_key = secret(table, "client_key", Shape::Pem);
    let key_id = table.get("client_key_id", None, Written::Text, words);
    let (has_secret, has_key) = (table.has("client_secret"), table.has("client_key"));
    let method = match asked {
        Some(method) => method,
        None if table.has("client_authentication") => return None,
        None if has_secret && has_key => {
            let instead =
                "leave one out, or write client_authentication = \"client_secret_post\" or \"private_key_jwt\"";
            table.complain("client_key", "stands beside a client_secret", instead);
            return None;
        }
        None if has_secret => Method::Post,
        None if has_key => Method::Key,
        None => Method::Nothing,
    };
    let uses_secret = matches!(method, Method::Post | Method::Basic);
    if has_secret && !uses_secret {
        let what = "is not used by this client_authentication";
        table.complain("client_secret", what, "leave it out, or write client_authentication = \"client_secret_post\"");
    }
    if has_key && method != Method::Key {
        let what = "is not used by this client_authentication";
        table.complain("client_key", what, "leave it out, or write client_authentication = \"private_key_jwt\"");
    }
    if table.has("client_key_id") && !has_key {
        table.complain("client_key_id", "stands without a client_key", "add client_key, or leave it out");
    }
    if uses_secret {
        table.require(
            "client_secret",
            "write the consumer secret, or client_authentication = \"none\" when the app requires none",
        );
    }
    if method == Method::Key {
        table.require(
            "client_key",
            "write client_key = { file = \"...\" } with the private key whose certificate the app has",
        );
    }
    Some(match method {
        Method::Post => ClientAuthentication::SecretPost(client_secret?),
        Method::Basic => ClientAuthentication::SecretBasic(client_secret?),
        Method::Key => ClientAuthentication::PrivateKeyJwt { key_pem: client_key?, key_id },
        Method::Nothing => ClientAuthentication::Public,
    })
}

pub(super) fn organization(text: &str) -> Result<OrgId, Wrong> {
    OrgId::parse(text).map_err(|error| {
        let instead = "copy it from Salesforce: Setup > Company Information > Salesforce.com Organization ID (it begins with 00D)";
        if salesforce::UserId::parse(text).is_ok() {
            return Wrong::new(format!("{text:?} is the id of a user"), instead);
        }
        Wrong::new(format!("{text:?} is not the id of an org: it {error}"), instead)
    })
}

pub(super) fn user_type(text: &str) -> Result<String, Wrong> {
    if text != "any" && text.eq_ignore_ascii_case("any") {
        return Err(Wrong::new(format!("{text:?} is not how we write it"), "write \"any\""));
    }
    // Only STANDARD is known for sure; the others are spelled in more than one way (`PowerPartner`), and compared
    // without regard to case.
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{text:?} cannot be a user_type of Salesforce"),
        "write for example \"STANDARD\" or \"PowerPartner\", or \"any\"",
    ))
}

pub(super) fn kinds(table: &Table<'_>, types: Vec<String>) -> Option<UserTypes> {
    let any = types.iter().any(|kind| kind == "any");
    match types.len() {
        0 => table.complain("user_types", "is empty: nobody could sign in", "write [\"STANDARD\"], or [\"any\"]"),
        1 if any => return Some(UserTypes::Any),
        _ if any => table.complain("user_types", "names \"any\" beside others", "write [\"any\"] alone"),
        _ => return Some(UserTypes::Only(types)),
    }
    None
}

/// A Salesforce access token is a session in the user's CRM, so as little as possible is asked for.
fn scope(text: &str) -> Result<String, Wrong> {
    let leave_out = "leave it out: openid, profile and email are enough to sign in";
    match text {
        "full" | "api" | "web" => {
            Err(Wrong::new(format!("{text:?} would give the gateway the user's rights in Salesforce"), leave_out))
        }
        "refresh_token" | "offline_access" => Err(Wrong::new(
            format!(
                "{text:?} would leave a lasting grant in Salesforce for each sign-in, and the sixth ends the first"
            ),
            leave_out,
        )),
        text if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:/".contains(&b)) => Ok(text.to_owned()),
        _ => Err(Wrong::new(
            format!("{text:?} is not a scope"),
            "write each scope in quotes of its own: [\"openid\", \"profile\"]",
        )),
    }
}
