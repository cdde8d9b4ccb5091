//! What the pretend org tells of a person: userinfo, the identity URL, standard claims (behaviours 9, 24, 25).
//!
//! The two endpoints give the same facts under different names, as Salesforce does. Errors are 403 and one word
//! of plain text, never 401. Called by the emulator's dispatch and by `idtoken`.

use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::grants::Access;
use super::mischief::Mischief;
use super::people::Person;
use super::settings::UserInfo;
use super::wire::{self, Form};
use super::{Base, Org, idtoken};
use crate::clock::Timestamp;
use crate::http::{self, Response};

impl Org {
    /// `/services/oauth2/userinfo`.
    pub(super) fn userinfo(&self, head: &wire::Head, form: &Form, now: Timestamp) -> Response {
        self.note("userinfo");
        let mischief = self.mischief();
        match mischief {
            Some(Mischief::UserInfoForbidden) => return forbidden("Bad_OAuth_Token"),
            Some(Mischief::UserInfoHtml) => return wire::html_page(StatusCode::OK),
            Some(Mischief::UserInfoRedirect) => return wire::redirect_elsewhere(StatusCode::FOUND),
            Some(Mischief::UserInfoOversized) => return wire::oversized(),
            Some(Mischief::UserInfoDown) => return wire::hang_up(),
            _ => {}
        }
        let allowed = match self.app().userinfo {
            UserInfo::GetAndPost => [Method::GET, Method::POST].contains(&head.method),
            UserInfo::GetOnly => head.method == Method::GET,
            UserInfo::PostOnly => head.method == Method::POST,
        };
        if !allowed {
            return http::text(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        let access = match self.bearer(head, form, now) {
            Ok(access) => access,
            Err(word) => return forbidden(word),
        };
        let mut person = access.person;
        if mischief == Some(Mischief::UserInfoOtherSubject) {
            person = idtoken::colleague(person);
        }
        let mut facts = standard_claims(person, &self.instance, &access.scopes);
        facts.insert("sub".into(), json!(format!("{}{}", self.kind.identity_host(), person.identity_path())));
        facts.extend(profile(person, &self.instance, mischief));
        if mischief == Some(Mischief::BigUserInfo) {
            facts.insert("custom_attributes".into(), attributes());
        }
        http::json(StatusCode::OK, &Value::Object(facts))
    }

    /// `/id/ORG/USER`: the same person under other names (salesforce.md 2.10).
    pub(super) fn identity_url(&self, head: &wire::Head, path: &str, now: Timestamp) -> Response {
        self.note("identity");
        let access = match self.bearer(head, &Form::default(), now) {
            Ok(access) => access,
            Err(word) => return forbidden(word),
        };
        let person = access.person;
        if path != person.identity_path() {
            return forbidden(if path.contains(person.organization) { "No_Access" } else { "Wrong_Org" });
        }
        let facts = json!({
            "id": format!("{}{}", self.kind.identity_host(), person.identity_path()),
            "asserted_user": true,
            "user_id": person.user,
            "organization_id": person.organization,
            "username": person.username,
            "nick_name": nickname(person),
            "display_name": person.name(),
            "email": person.email,
            "email_verified": person.email_verified,
            "first_name": person.given_name,
            "last_name": person.family_name,
            "timezone": "Europe/Berlin",
            "active": true,
            "user_type": person.user_type,
            "language": "en_US",
            "locale": "en_US",
            "utcOffset": 3_600_000,
            "last_modified_date": "2026-05-04T09:21:33Z",
            "is_app_installed": true,
        });
        http::json(StatusCode::OK, &facts)
    }

    fn bearer(&self, head: &wire::Head, form: &Form, now: Timestamp) -> Result<Access, &'static str> {
        let token = head.bearer().or_else(|| form.get("oauth_token")).or_else(|| head.query.get("oauth_token"));
        let token = token.ok_or("Missing_OAuth_Token")?;
        self.memory().access(token, now).ok_or("Bad_OAuth_Token")
    }
}

/// Where the identity URL is told apart from the rest of the org.
pub(super) fn is_identity_path(base: &Base, path: &str) -> bool {
    path.starts_with("/id/00D") && base.path.is_empty()
}

/// The claims that scopes allow, as both userinfo and a full ID token have them (behaviour 9).
pub(super) fn standard_claims(person: &Person, instance: &str, scopes: &[String]) -> Map<String, Value> {
    let granted = |scope: &str| scopes.iter().any(|have| have == scope || have == "full");
    let mut claims = Map::new();
    let mut set = |name: &str, value: Value| {
        claims.insert(name.to_owned(), value);
    };
    if granted("email") {
        set("email", json!(person.email));
        set("email_verified", json!(person.email_verified));
    }
    if granted("profile") {
        set("preferred_username", json!(person.username));
        set("name", json!(person.name()));
        set("given_name", json!(person.given_name));
        set("family_name", json!(person.family_name));
        set("nickname", json!(nickname(person)));
        set("zoneinfo", json!("Europe/Berlin"));
        set("locale", json!("en_US"));
        set("profile", json!(format!("{instance}/{}", person.user)));
        set("picture", json!(format!("{instance}/profilephoto/005/F")));
        // ISO 8601, where OpenID Connect says a number
        set("updated_at", json!("2026-05-04T09:21:33Z"));
        set("phone_number", Value::Null);
        set("address", json!({}));
    }
    claims
}

// behaviour 25
fn profile(person: &Person, instance: &str, mischief: Option<Mischief>) -> Map<String, Value> {
    let mut urls = Map::new();
    for name in ["rest", "sobjects", "search", "query", "recent", "tooling_rest", "feeds", "groups", "users"] {
        urls.insert(name.to_owned(), json!(format!("{instance}/services/data/v{{version}}/{name}/")));
    }
    for (name, letter) in [("enterprise", 'c'), ("metadata", 'm'), ("partner", 'u'), ("tooling_soap", 'T')] {
        let org = person.short_organization();
        urls.insert(name.to_owned(), json!(format!("{instance}/services/Soap/{letter}/{{version}}/{org}")));
    }
    urls.insert("profile".into(), json!(format!("{instance}/{}", person.user)));
    urls.insert("custom_domain".into(), json!(instance));
    let photo = |size: &str| format!("{instance}/profilephoto/005/{size}");
    let active = mischief != Some(Mischief::UserInfoInactive);
    let facts = json!({
        "user_id": person.user,
        "organization_id": person.organization,
        "photos": {"picture": photo("F"), "thumbnail": photo("T")},
        "urls": urls,
        "active": active,
        "user_type": person.user_type,
        "language": "en_US",
        "utcOffset": 3_600_000,
        "phone_number_verified": false,
        "is_salesforce_integration_user": false,
        "is_app_installed": true,
    });
    match facts {
        Value::Object(facts) => facts,
        _ => Map::new(),
    }
}

fn attributes() -> Value {
    let mut attributes = Map::new();
    attributes.insert("department".into(), json!("Küche & Keller"));
    for number in 0..128 {
        attributes
            .insert(format!("attribute_{number}"), json!("a value as long as administrators write them ".repeat(2)));
    }
    Value::Object(attributes)
}

fn nickname(person: &Person) -> String {
    format!("User{}", person.short_user())
}

// behaviour 24: 403, text/plain, one word; no WWW-Authenticate
fn forbidden(word: &'static str) -> Response {
    http::answer(StatusCode::FORBIDDEN, "text/plain;charset=UTF-8", word)
}
