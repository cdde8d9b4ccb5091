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
async fn a_person_signs_in_at_every_base() {
    let org = org().await;
    for base in [org.org_url(), org.login_url(), org.site_url()] {
        let mut visit = Visit { org: &org, base: base.to_owned(), cookie: String::new() };
        let callback = visit.sign_in(&people::STANDARD, &[]).await;
        assert!(callback.location().starts_with(&format!("{CALLBACK}?code=aPrx")), "{}", callback.location());
        assert!(callback.location().contains("%3D%3D"));
        assert_eq!(callback.parameter("state").as_deref(), Some("the-state"));
        let tokens = visit.exchange(&callback.parameter("code").unwrap(), &[]).await.json();
        let claims = claims(&tokens["id_token"]);
        assert_eq!(claims["iss"], base);
        assert_eq!(claims["nonce"], "the-nonce");
        assert_eq!(claims["aud"], org.app().client_id);
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 120);
        let id = "https://login.salesforce.com/id/00D5g00000PrtClEAJ/0055g00000GrcHpAAJ";
        assert_eq!(claims["sub"], id);
        assert_eq!(claims["at_hash"], idtoken::at_hash(tokens["access_token"].as_str().unwrap()));
        assert!(claims.get("email").is_none());
        assert_eq!(header(&tokens["id_token"])["kid"], "262");
        assert_eq!(tokens["id"], id);
        assert_eq!(tokens["token_type"], "Bearer");
        assert_eq!(tokens["instance_url"], org.org_url());
        assert!(tokens.get("expires_in").is_none() && tokens.get("refresh_token").is_none());
        assert!(tokens["access_token"].as_str().unwrap().starts_with("00D5g00000PrtCl!"));
        let signature = token::response_signature(&org.app().client_secret, id, tokens["issued_at"].as_str().unwrap());
        assert_eq!(tokens["signature"], signature);
        assert_eq!(signature.len(), 44);
        org.forget();
    }
    assert_eq!((org.count("token"), org.count("authorize")), (3, 3));
}

#[tokio::test]
async fn approval_is_asked_once_for_each_person() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    let login = [("person", people::STANDARD.username), ("startURL", "")];
    let welcomed = post(&format!("{}/login", org.org_url()), &login).await;
    visit.cookie = welcomed.headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let first = visit.go(&visit.request(&[])).await;
    let asked = visit.go(&visit.absolute(first.location())).await;
    assert!(asked.status == StatusCode::OK && asked.body.contains("Allow access?"));
    assert!(visit.approve(&first, "allow").await.parameter("code").is_some());
    let again = visit.go(&visit.request(&[])).await;
    let straight = visit.go(&visit.absolute(again.location())).await;
    assert!(straight.location().starts_with(CALLBACK));
    let consent = visit.go(&visit.request(&[("prompt", "consent")])).await;
    assert_eq!(visit.go(&visit.absolute(consent.location())).await.status, StatusCode::OK);
    let login = visit.go(&visit.request(&[("prompt", "login")])).await;
    assert!(login.location().starts_with("/?ec=302"));
    let quiet = visit.go(&visit.request(&[("immediate", "true")])).await;
    assert!(visit.go(&visit.absolute(quiet.location())).await.parameter("code").is_some());
    let stranger = Visit::new(&org);
    let refused = stranger.go(&stranger.request(&[("immediate", "true")])).await;
    assert_eq!(refused.parameter("error").as_deref(), Some("immediate_unsuccessful"));
}

#[tokio::test]
async fn a_person_who_denies_is_told_to_the_app() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    visit.sign_in(&people::STANDARD, &[]).await;
    org.configure(|app| app.approval = Approval::Asked);
    let page = visit.go(&visit.request(&[("prompt", "consent")])).await;
    let denied = visit.approve(&page, "deny").await;
    assert_eq!(denied.parameter("error").as_deref(), Some("access_denied"));
    assert_eq!(denied.parameter("error_description").as_deref(), Some("end-user denied authorization"));
    assert_eq!(denied.parameter("state").as_deref(), Some("the-state"));
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

#[tokio::test]
async fn who_may_not_use_the_app_gets_no_code() {
    let org = org().await;
    let callback = Visit::new(&org).sign_in(&people::NOT_APPROVED, &[]).await;
    assert_eq!(callback.parameter("error").as_deref(), Some("OAUTH_APP_ACCESS_DENIED"));
    let mut visit = Visit::new(&org);
    let callback = visit.sign_in(&people::INACTIVE, &[]).await;
    let reply = visit.exchange(&callback.parameter("code").unwrap(), &[]).await;
    let inactive = (StatusCode::BAD_REQUEST, "inactive_user".to_owned(), "User is inactive".to_owned());
    assert_eq!(reply.complaint(), inactive);
}

#[tokio::test]
async fn a_code_is_good_once_for_its_own_request() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    type Mistake<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let mistakes: [Mistake<'_>; 8] = [
        (&[("code", "aPrxforged==")], "invalid_grant", "invalid authorization code"),
        (&[("redirect_uri", "http://localhost:1/")], "redirect_uri_mismatch", "redirect_uri must match configuration"),
        (&[("code_verifier", "")], "invalid_grant", "missing required code verifier"),
        (&[("code_verifier", "another")], "invalid_request", "invalid code verifier"),
        (&[("scope", "openid")], "invalid_request", "scope parameter not supported"),
        (&[("client_secret", "wrong")], "invalid_client", "invalid client credentials"),
        (&[("client_id", "3MVG9other")], "invalid_client_id", "client identifier invalid"),
        (&[("grant_type", "password")], "unsupported_grant_type", "grant type not supported"),
    ];
    for (changes, error, description) in mistakes {
        let code = visit.sign_in(&people::STANDARD, &[("prompt", "login")]).await.parameter("code").unwrap();
        let reply = visit.exchange(&code, changes).await;
        assert_eq!(reply.complaint(), (StatusCode::BAD_REQUEST, error.to_owned(), description.to_owned()));
    }
    let code = visit.sign_in(&people::STANDARD, &[("prompt", "login")]).await.parameter("code").unwrap();
    assert_eq!(visit.exchange(&code, &[]).await.status, StatusCode::OK);
    let replayed = visit.exchange(&code, &[]).await.complaint();
    assert_eq!(replayed.2, "expired authorization code");
    let by_get = get(&format!("{}/services/oauth2/token?grant_type=authorization_code", org.org_url())).await;
    assert_eq!(by_get.complaint().1, "unsupported_grant_type");
}

#[tokio::test]
async fn a_client_proves_itself_in_any_accepted_way() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    let app = org.app();
    let basic = |secret: &str| {
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{}:{secret}", app.client_id));
        format!("Basic {text}")
    };
    let mut outcomes = Vec::new();
    for (policy, works, secret) in [
        (SecretPolicy::Required, Basic::Accepted, Some(app.client_secret.as_str())),
        (SecretPolicy::Required, Basic::Accepted, Some("wrong")),
        (SecretPolicy::Required, Basic::Broken, Some(app.client_secret.as_str())),
        (SecretPolicy::Required, Basic::Accepted, None),
        (SecretPolicy::Optional, Basic::Accepted, None),
        (SecretPolicy::Optional, Basic::Accepted, Some("wrong")),
    ] {
        org.configure(|app| (app.secret, app.basic) = (policy, works));
        let code = visit.sign_in(&people::STANDARD, &[("prompt", "login")]).await.parameter("code").unwrap();
        let mut form =
            vec![("grant_type", "authorization_code"), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
        form.extend([("code", code.as_str()), ("client_id", app.client_id.as_str())]);
        let header = secret.map(basic).unwrap_or_default();
        let headers: &[(&str, &str)] = if secret.is_some() { &[("authorization", &header)] } else { &[] };
        let url = format!("{}/services/oauth2/token", org.org_url());
        let reply = ask(&url, headers, Some(&form)).await.unwrap();
        outcomes.push(reply.json()["error"].as_str().unwrap_or("ok").to_owned());
    }
    assert_eq!(outcomes, ["ok", "invalid_client", "invalid_client_id", "invalid_client", "ok", "invalid_client"]);
    assert_eq!(org.client_authentication(), Some("client_secret_basic"));
    assert_eq!(org.token_parameters()[0], "grant_type");
}

#[tokio::test]
async fn a_signed_assertion_is_believed_once() {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
    use aws_lc_rs::signature::KeyPair as _;
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let pem = |kind: &str, der: &[u8]| {
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {kind} KEY-----\n{body}\n-----END {kind} KEY-----\n")
    };
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let private = jsonwebtoken::EncodingKey::from_rsa_pem(pem("PRIVATE", private.as_ref()).as_bytes()).unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let org = org().await;
    org.configure(|app| app.assertion_key = Some(pem("PUBLIC", public.as_ref())));
    let mut visit = Visit::new(&org);
    let id = org.app().client_id;
    let now = Timestamp::now().0;
    let assertion = |audience: &str, subject: &str, expires: u64, jti: &str| {
        let claims = serde_json::json!({"iss": id, "sub": subject, "aud": audience, "exp": expires, "jti": jti});
        keys::signed(&serde_json::json!({"alg": "RS256"}), &claims, &private, jsonwebtoken::Algorithm::RS256).unwrap()
    };
    let here = format!("{}/services/oauth2/token", org.org_url());
    let cases = [
        (assertion(&here, &id, now + 60, "1"), "ok"),
        (assertion(&here, &id, now + 60, "1"), "invalid_client"),
        (assertion("https://elsewhere.example", &id, now + 60, "2"), "invalid_client"),
        (assertion(&here, "another", now + 60, "3"), "invalid_client"),
        (assertion(&here, &id, now - 1, "4"), "invalid_client"),
        (assertion(&here, &id, now + 3600, "5"), "invalid_client"),
        (keys::unsigned(&serde_json::json!({"alg": "none"}), &serde_json::json!({})) + ".", "invalid_client"),
    ];
    for (assertion, outcome) in &cases {
        let code = visit.sign_in(&people::STANDARD, &[("prompt", "login")]).await.parameter("code").unwrap();
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let changes = [("client_secret", ""), ("client_assertion", assertion), ("client_assertion_type", kind)];
        let reply = visit.exchange(&code, &changes).await;
        assert_eq!(reply.json()["error"].as_str().unwrap_or("ok"), *outcome, "{}", reply.body);
    }
    assert_eq!(org.client_authentication(), Some("private_key_jwt"));
}

#[tokio::test]
async fn userinfo_says_who_it_is_or_one_word() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    let tokens = visit.tokens(&people::ACCENTED).await;
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let url = format!("{}/services/oauth2/userinfo", org.org_url());
    let by_get = ask(&url, &[("authorization", &bearer)], None).await.unwrap();
    let by_post = ask(&url, &[("authorization", &bearer)], Some(&[])).await.unwrap();
    assert_eq!(by_get.json(), by_post.json());
    let facts = by_get.json();
    assert_eq!(facts["sub"], claims(&tokens["id_token"])["sub"]);
    assert_eq!(facts["name"], "Zoë Müller-Šťastná");
    assert_eq!(facts["updated_at"], "2026-05-04T09:21:33Z");
    assert!(facts["phone_number"].is_null() && facts["address"] == serde_json::json!({}));
    assert!(facts["urls"]["rest"].as_str().unwrap().contains("v{version}"));
    org.configure(|app| app.userinfo = UserInfo::PostOnly);
    assert_eq!(ask(&url, &[("authorization", &bearer)], None).await.unwrap().status, StatusCode::METHOD_NOT_ALLOWED);
    org.configure(|app| app.userinfo = UserInfo::GetOnly);
    for (headers, word) in [(vec![], "Missing_OAuth_Token"), (vec![("authorization", "Bearer x")], "Bad_OAuth_Token")] {
        let reply = ask(&url, &headers, None).await.unwrap();
        assert_eq!((reply.status, reply.body.as_str()), (StatusCode::FORBIDDEN, word));
        assert!(reply.headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"));
        assert!(reply.headers.get("www-authenticate").is_none());
    }
    let path = url::Url::parse(tokens["id"].as_str().unwrap()).unwrap().path().to_owned();
    let identity = ask(&format!("{}{path}", org.org_url()), &[("authorization", &bearer)], None).await.unwrap().json();
    assert_eq!(identity["username"], facts["preferred_username"]);
    assert_eq!(identity["asserted_user"], true);
}

#[tokio::test]
async fn audiences_come_in_three_forms() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    let id = org.app().client_id;
    let more = vec!["https://api.example".to_owned()];
    org.configure(|app| app.audience = Audience::Joined(more.clone()));
    let joined = visit.tokens(&people::STANDARD).await;
    assert_eq!(claims(&joined["id_token"])["aud"], format!("{id},https://api.example"));
    org.configure(|app| app.audience = Audience::Array(more));
    visit.cookie.clear();
    let array = visit.tokens(&people::STANDARD).await;
    assert_eq!(claims(&array["id_token"])["aud"][0], id);
}

#[tokio::test]
async fn refresh_tokens_live_by_the_books() {
    let org = org().await;
    org.configure(|app| {
        app.scopes.push("refresh_token".to_owned());
        app.rotation = Rotation::On;
    });
    let mut visit = Visit::new(&org);
    let callback = visit.sign_in(&people::STANDARD, &[("scope", "openid refresh_token")]).await;
    let tokens = visit.exchange(&callback.parameter("code").unwrap(), &[]).await.json();
    let first = tokens["refresh_token"].as_str().unwrap().to_owned();
    assert!(first.starts_with("5Aep861"));
    let app = org.app();
    let client = [("client_id", app.client_id.as_str()), ("client_secret", app.client_secret.as_str())];
    let refresh = async |token: &str| {
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
        form.extend(client);
        post(&format!("{}/services/oauth2/token", org.org_url()), &form).await
    };
    let introspect = async |token: &str| {
        let mut form = vec![("token", token)];
        form.extend(client);
        post(&format!("{}/services/oauth2/introspect", org.org_url()), &form).await.json()
    };
    let renewed = refresh(&first).await.json();
    let access = renewed["access_token"].as_str().unwrap();
    assert_ne!(renewed["refresh_token"], tokens["refresh_token"]);
    let active = introspect(access).await;
    assert_eq!((&active["active"], &active["username"]), (&true.into(), &people::STANDARD.username.into()));
    assert_eq!(active["exp"].as_u64().unwrap() - active["iat"].as_u64().unwrap(), 7200);
    assert_eq!(refresh(&first).await.complaint().2, "expired access/refresh token");
    assert_eq!(introspect(access).await, serde_json::json!({"active": false}));
    let revoke = format!("{}/services/oauth2/revoke", org.org_url());
    assert_eq!(post(&revoke, &[("token", access)]).await.complaint().1, "invalid_token");
}

#[tokio::test]
async fn the_scripted_mode_sends_a_page() {
    let settings = Settings { keys: Some(ring()), redirects: Redirects::Script, ..Settings::default() };
    let org = Emulator::start(settings).await.unwrap();
    org.register(CALLBACK);
    let visit = Visit::new(&org);
    let page = visit.go(&visit.request(&[])).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("window.location.replace") && page.body.contains("startURL="));
}

#[tokio::test]
async fn the_password_form_knows_people_from_strangers() {
    let org = org().await;
    let login = format!("{}/login", org.org_url());
    let good = post(&login, &[("un", "ADA.lovell@pretend.example"), ("pw", "pretend")]).await;
    assert_eq!(good.location(), "/");
    for (un, pw) in [("ada.lovell@pretend.example", "Pretend"), ("ada", "pretend")] {
        let bad = post(&login, &[("un", un), ("pw", pw)]).await;
        assert!(bad.headers.get(SET_COOKIE).is_none() && bad.body.contains("Please check your username and password"));
    }
    let elsewhere = [("person", "ada.lovell@pretend.example"), ("startURL", "//evil.example/")];
    assert_eq!(post(&login, &elsewhere).await.location(), "/");
}

#[tokio::test]
async fn signing_out_ends_the_session_at_the_org() {
    let org = org().await;
    let mut visit = Visit::new(&org);
    visit.sign_in(&people::STANDARD, &[]).await;
    let url = format!("{}/services/auth/idp/oidc/logout?post_logout_redirect_uri=http://localhost:1/", org.org_url());
    let elsewhere = [("startURL", "//evil.example")];
    let logout = format!("{}/secur/logout.jsp", org.org_url());
    assert_eq!(post(&logout, &elsewhere).await.status, StatusCode::OK);
    assert_eq!(post(&logout, &[("startURL", "/x")]).await.location(), "/?ec=302&startURL=%2Fx");
    let out = visit.go(&url).await;
    assert_eq!(out.status, StatusCode::OK);
    assert!(visit.go(&visit.request(&[])).await.location().starts_with("/?ec=302"));
    let at_login = format!("{}/services/auth/idp/oidc/logout", org.login_url());
    assert_eq!(get(&at_login).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_mischief_shows_somewhere() {
    let org = org().await;
    org.configure(|app| app.approval = Approval::Skipped);
    for mischief in Mischief::ALL.iter().copied().filter(|mischief| *mischief != Mischief::TokenSlow) {
        org.forget();
        org.behave();
        let honest = conversation(&org).await;
        org.forget();
        assert_eq!(honest, conversation(&org).await);
        org.forget();
        org.set(mischief);
        let odd = conversation(&org).await;
        // "the default already" is the one way to show nothing
        if mischief != Mischief::MinimalClaims {
            assert_ne!(honest, odd, "{mischief} changes nothing");
        }
    }
}

/// A whole sign-in, with everything taken out that is random.
async fn conversation(org: &Running) -> String {
    let mut said = String::new();
    let mut say = |part: Option<&Reply>| match part {
        Some(reply) => said.push_str(&format!("{} {}\n", reply.status, reply.body)),
        None => said.push_str("nothing\n"),
    };
    say(ask(&format!("{}/.well-known/openid-configuration", org.org_url()), &[], None).await.as_ref());
    say(ask(&format!("{}/id/keys", org.org_url()), &[], None).await.as_ref());
    let mut visit = Visit::new(org);
    let callback = visit.sign_in(&people::STANDARD, &[]).await;
    let code = callback.parameter("code").unwrap_or_default();
    let app = org.app();
    let forged = code.starts_with("aPrxBwcH");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("client_id", app.client_id.as_str()),
        ("client_secret", app.client_secret.as_str()),
        ("code_verifier", VERIFIER),
    ];
    let exchanged = ask(&format!("{}/services/oauth2/token", org.org_url()), &[], Some(&form)).await;
    let names: Vec<_> = url::Url::parse(callback.location())
        .unwrap()
        .query_pairs()
        .map(|pair| {
            let value = if pair.0 == "code" && !forged { "code".into() } else { pair.1.clone() };
            format!("{}={value}", pair.0)
        })
        .collect();
    said.push_str(&names.join("&"));
    let Some(reply) = exchanged else { return said + "nothing" };
    let Ok(mut tokens) = serde_json::from_str::<Value>(&reply.body) else { return said + &reply.status.to_string() };
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap_or_default());
    let userinfo =
        ask(&format!("{}/services/oauth2/userinfo", org.org_url()), &[("authorization", &bearer)], None).await;
    said.push_str(&userinfo.map_or("nothing".to_owned(), |reply| format!("{} {}", reply.status, reply.body)));
    // what is random or of the moment, by its relation to the rest
    let access = tokens["access_token"].as_str().unwrap_or_default().to_owned();
    let fits = token::response_signature(
        &app.client_secret,
        tokens["id"].as_str().unwrap_or_default(),
        tokens["issued_at"].as_str().unwrap_or_default(),
    );
    let signed = tokens["signature"] == fits.as_str();
    said.push_str(&format!(" signed {signed} jwt {}", access.contains('.') && access.starts_with("ey")));
    let id_token = tokens["id_token"].clone();
    for name in ["access_token", "id_token", "signature", "issued_at"] {
        if let Some(value) = tokens.get_mut(name) {
            *value = Value::Null;
        }
    }
    said.push_str(&tokens.to_string());
    if let Some(text) = id_token.as_str().filter(|text| text.starts_with("ey")) {
        let (header, mut claims) = (header(&id_token), claims(&id_token));
        let now = Timestamp::now().0;
        let (issued, hash) = (claims["iat"].as_u64().unwrap_or(now), claims["at_hash"].clone());
        said.push_str(&format!(
            " {header} {} hash {}",
            issued.abs_diff(now) < 20,
            hash == idtoken::at_hash(&access).as_str()
        ));
        for name in ["iat", "exp", "at_hash", "nbf", "sfi"] {
            if let Some(value) = claims.get_mut(name) {
                *value = Value::Null;
            }
        }
        said.push_str(&format!("{claims} {}", verifies(org, text, &header)));
    } else {
        said.push_str(&id_token.to_string());
    }
    said
}

/// Whether the key that the header names, as published, verifies the token.
fn verifies(org: &Running, token: &str, header: &Value) -> bool {
    let set = org.org.keys.published(org.org.mischief());
    let Some(key) = set["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]) else {
        return false;
    };
    let public = jsonwebtoken::DecodingKey::from_rsa_components(key["n"].as_str().unwrap(), key["e"].as_str().unwrap());
    let (message, signature) = token.rsplit_once('.').unwrap();
    jsonwebtoken::crypto::verify(signature, message.as_bytes(), &public.unwrap(), jsonwebtoken::Algorithm::RS256)
        .unwrap_or(false)
}
