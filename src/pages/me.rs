//! The page that says who is signed in, until when, and what the app sees; and the same for programs.
//!
//! What is shown are the headers as the app receives them, so that nobody has to guess; never a token. Called by
//! `login`.

use hyper::StatusCode;
use serde::Serialize;

use super::{Form, Moment, Pages, Referrer, Visit, bare, local};
use crate::clock::Timestamp;
use crate::http::{Response, json};

/// The page that says who is signed in, and what the app sees.
#[derive(Clone, Debug)]
pub struct Me {
    /// For people to read.
    pub name: Option<String>,
    /// `preferred_username`.
    pub username: String,
    /// E-mail address.
    pub email: Option<String>,
    /// The user's id, 18 characters.
    pub user_id: String,
    /// The organization's id, 18 characters.
    pub organization_id: String,
    /// Such as `STANDARD`.
    pub user_type: Option<String>,
    /// The provider's name in the configuration.
    pub provider: String,
    /// What people call it.
    pub signed_in_by: String,
    /// When the session began.
    pub since: Timestamp,
    /// When it ends without further use.
    pub idle_until: Timestamp,
    /// When it ends in any case.
    pub until: Timestamp,
    /// The identity headers that the app receives, as they are sent.
    pub headers: Vec<(String, String)>,
    /// The path of the page that signs out.
    pub sign_out: String,
    /// The app's start page.
    pub home: String,
}

#[derive(Serialize)]
struct MePage<'a> {
    heading: &'a str,
    initial: String,
    name: Option<&'a str>,
    username: &'a str,
    email: Option<&'a str>,
    user_id: &'a str,
    organization_id: &'a str,
    user_type: Option<&'a str>,
    signed_in_by: &'a str,
    since: Moment,
    idle_until: Moment,
    until: Moment,
    headers: &'a [(String, String)],
    sign_out: &'a str,
    home: &'a str,
}

impl Pages {
    /// Who is signed in, until when, and which headers the app receives; never a token.
    pub fn me(&self, me: &Me, form: Form, visit: &Visit<'_>) -> Response {
        match form {
            Form::Page => self.me_page(me, visit),
            Form::Json => me_json(me, visit),
        }
    }

    fn me_page(&self, me: &Me, visit: &Visit<'_>) -> Response {
        let heading = me.name.as_deref().unwrap_or(&me.username);
        let page = MePage {
            heading,
            initial: heading.chars().next().map(|first| first.to_uppercase().to_string()).unwrap_or_default(),
            name: me.name.as_deref(),
            username: &me.username,
            email: me.email.as_deref(),
            user_id: &me.user_id,
            organization_id: &me.organization_id,
            user_type: me.user_type.as_deref(),
            signed_in_by: &me.signed_in_by,
            since: me.since.into(),
            idle_until: me.idle_until.into(),
            until: me.until.into(),
            headers: &me.headers,
            sign_out: local(&me.sign_out).unwrap_or("/"),
            home: local(&me.home).unwrap_or("/"),
        };
        self.page(StatusCode::OK, "Who am I", "me.html", &page, visit, Referrer::None)
    }
}

fn me_json(me: &Me, visit: &Visit<'_>) -> Response {
    let headers: serde_json::Map<_, _> =
        me.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let body = serde_json::json!({
        "name": me.name,
        "username": me.username,
        "email": me.email,
        "user_id": me.user_id,
        "organization_id": me.organization_id,
        "user_type": me.user_type,
        "provider": me.provider,
        "since": Moment::from(me.since).machine,
        "idle_until": Moment::from(me.idle_until).machine,
        "until": Moment::from(me.until).machine,
        "headers": headers,
        "sign_out": local(&me.sign_out),
        "request_id": visit.request_id,
    });
    bare(json(StatusCode::OK, &body))
}
