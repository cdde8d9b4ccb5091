//! The pretend org, over loopback: what `salesforce.md` promises of it, asked by a plain HTTP client.

use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, LOCATION, SET_COOKIE};
use hyper::{HeaderMap, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::settings::{Approval, Audience, Basic, KeySize, Pkce, Redirects, Rotation, SecretPolicy, UserInfo};
use super::*;

mod mischief;
mod tokens;
mod visits;

const CALLBACK: &str = "http://localhost:1/.portcullis/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    pub(super) fn location(&self) -> &str {
        self.headers
            .get(LOCATION)
            .unwrap_or_else(|| panic!("no redirect: {} {}", self.status, self.body))
            .to_str()
            .unwrap()
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(self.location()).unwrap();
        url.query_pairs().find(|pair| pair.0 == name).map(|pair| pair.1.into_owned())
    }

    fn complaint(&self) -> (StatusCode, String, String) {
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (self.status, text("error"), text("error_description"))
    }
}

pub(super) async fn ask(url: &str, headers: &[(&str, &str)], form: Option<&[(&str, &str)]>) -> Option<Reply> {
    let url = url::Url::parse(url).unwrap();
    let stream = tokio::net::TcpStream::connect(url.socket_addrs(|| None).unwrap()[0]).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut request = hyper::Request::builder()
        .uri(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .method(if form.is_some() { "POST" } else { "GET" })
        .header("host", url.authority());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = form.map_or_else(String::new, |form| {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
    });
    let request = request.body(Full::new(bytes::Bytes::from(body))).unwrap();
    let response = sender.send_request(request).await.ok()?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    driver.abort();
    Some(Reply { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&body).into_owned() })
}

pub(super) async fn get(url: &str) -> Reply {
    ask(url, &[], None).await.unwrap()
}

pub(super) async fn post(url: &str, form: &[(&str, &str)]) -> Reply {
    ask(url, &[], Some(form)).await.unwrap()
}

pub(super) fn ring() -> Arc<KeyRing> {
    static RING: OnceLock<Arc<KeyRing>> = OnceLock::new();
    Arc::clone(RING.get_or_init(|| KeyRing::generate(KeySize::Small).unwrap()))
}

async fn org() -> Running {
    let running = Emulator::start(Settings { keys: Some(ring()), ..Settings::default() }).await.unwrap();
    running.register(CALLBACK);
    running
}

/// A browser that signs in as `person` at `base` and comes back with the callback's address.
struct Visit<'a> {
    org: &'a Running,
    base: String,
    cookie: String,
}

impl<'a> Visit<'a> {
    fn new(org: &'a Running) -> Self {
        Self { org, base: org.org_url().to_owned(), cookie: String::new() }
    }

    fn request(&self, changes: &[(&str, &str)]) -> String {
        let app = self.org.app();
        let challenge = token::challenge_of(VERIFIER);
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", app.client_id.as_str()),
            ("redirect_uri", CALLBACK),
            ("scope", "openid profile email"),
            ("state", "the-state"),
            ("nonce", "the-nonce"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in changes {
            pairs.retain(|pair| pair.0 != *name);
            if !value.is_empty() {
                pairs.push((name, value));
            }
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        format!("{}/services/oauth2/authorize?{query}", self.base)
    }

    async fn go(&self, url: &str) -> Reply {
        ask(url, &[("cookie", &self.cookie)], None).await.unwrap()
    }

    fn absolute(&self, location: &str) -> String {
        url::Url::parse(&self.base).unwrap().join(location).unwrap().to_string()
    }

    async fn sign_in(&mut self, person: &Person, changes: &[(&str, &str)]) -> Reply {
        let to_sign_in = self.go(&self.request(changes)).await;
        let page = url::Url::parse(&self.absolute(to_sign_in.location())).unwrap();
        let onward = page.query_pairs().find(|pair| pair.0 == "startURL").unwrap().1.into_owned();
        let path = page.path().trim_end_matches('/').to_owned();
        let form = [("person", person.username), ("startURL", onward.as_str())];
        let welcomed = post(&self.absolute(&format!("{path}/login")), &form).await;
        self.cookie = welcomed.headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
        self.approve(&welcomed, "allow").await
    }

    /// From the redirect to the approval page onwards.
    async fn approve(&self, towards: &Reply, decision: &str) -> Reply {
        let url = self.absolute(towards.location());
        let page = self.go(&url).await;
        if page.status == StatusCode::FOUND {
            return page;
        }
        let source = url.split_once("source=").unwrap().1.to_owned();
        let form = [("source", source.as_str()), ("decision", decision)];
        let action = url.split_once('?').unwrap().0;
        ask(action, &[("cookie", &self.cookie)], Some(&form)).await.unwrap()
    }

    async fn exchange(&self, code: &str, changes: &[(&str, &str)]) -> Reply {
        let app = self.org.app();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("client_id", app.client_id.as_str()),
            ("client_secret", app.client_secret.as_str()),
            ("code_verifier", VERIFIER),
        ];
        for (name, value) in changes {
            form.retain(|pair| pair.0 != *name);
            if !value.is_empty() {
                form.push((name, value));
            }
        }
        post(&format!("{}/services/oauth2/token", self.base), &form).await
    }

    async fn tokens(&mut self, person: &Person) -> Value {
        let callback = self.sign_in(person, &[]).await;
        let reply = self.exchange(&callback.parameter("code").unwrap(), &[]).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        reply.json()
    }
}

fn claims(token: &Value) -> Value {
    let part = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn header(token: &Value) -> Value {
    let part = token.as_str().unwrap().split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn each_base_speaks_for_itself() {
    let org = org().await;
    for base in [org.org_url(), org.login_url(), org.site_url()] {
        let reply = get(&format!("{base}/.well-known/openid-configuration")).await;
        assert_eq!(reply.headers[CONTENT_TYPE], "application/json;charset=UTF-8");
        assert!(reply.headers["cache-control"].to_str().unwrap().contains("no-store"));
        assert_eq!(reply.headers["access-control-allow-origin"], "*");
        let document = reply.json();
        assert_eq!(document["issuer"], base);
        for name in ["authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"] {
            assert!(document[name].as_str().unwrap().starts_with(&format!("{base}/")), "{name}");
        }
        assert_eq!(document.get("end_session_endpoint").is_none(), base == org.login_url());
        assert!(document.get("code_challenge_methods_supported").is_none());
        assert_eq!(document["scopes_supported"].as_array().unwrap().len(), 36);
        assert_eq!(document["claims_supported"].as_array().unwrap().len(), 24);
    }
    let root = org.site_url().trim_end_matches("/portal").to_owned();
    let moved = get(&format!("{root}/.well-known/openid-configuration")).await;
    assert_eq!(moved.status, StatusCode::MOVED_PERMANENTLY);
    assert_eq!(moved.location(), format!("{}/.well-known/openid-configuration", org.site_url()));
    assert_eq!(get(&format!("{root}/portals/id/keys")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_unknown_app_or_address_is_shown_and_never_redirected() {
    let org = org().await;
    let visit = Visit::new(&org);
    let unknown = visit.go(&visit.request(&[("client_id", "3MVG9other")])).await;
    assert!(unknown.body.contains("error=invalid_client_id&amp;error_description=client%20identifier%20invalid"));
    for address in [format!("{CALLBACK}/"), format!("{CALLBACK}?x=1"), CALLBACK.to_uppercase()] {
        let reply = visit.go(&visit.request(&[("redirect_uri", &address)])).await;
        assert!(reply.headers.get(LOCATION).is_none());
        let text = "error=redirect_uri_mismatch&amp;error_description=redirect_uri%20must%20match%20configuration";
        assert!(reply.body.contains(text), "{}", reply.body);
    }
}

#[tokio::test]
async fn a_missing_challenge_is_answered_with_an_empty_content_type() {
    let org = org().await;
    let visit = Visit::new(&org);
    let request = visit.request(&[("code_challenge", ""), ("code_challenge_method", "")]);
    let reply = visit.go(&request).await;
    assert_eq!(reply.headers[CONTENT_TYPE], "");
    assert_eq!(reply.body, "error=invalid_request&error_description=missing%20required%20code%20challenge");
    org.configure(|app| app.pkce = Pkce::Optional);
    assert_eq!(visit.go(&request).await.status, StatusCode::FOUND);
}

#[tokio::test]
async fn wrong_scopes_and_response_types_travel_to_the_callback() {
    let org = org().await;
    let visit = Visit::new(&org);
    for (name, value, error) in
        [("scope", "openid api", "invalid_scope"), ("response_type", "token", "unsupported_response_type")]
    {
        let reply = visit.go(&visit.request(&[(name, value)])).await;
        assert_eq!(reply.parameter("error").as_deref(), Some(error));
        assert_eq!(reply.parameter("state").as_deref(), Some("the-state"));
    }
}
