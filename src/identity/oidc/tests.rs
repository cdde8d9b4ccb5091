//! OpenID Connect against a scripted org: what is said to it, and what it may say back.

use super::*;
use crate::http::client::script::{Reply, Script, json, reply};
use crate::identity::trial::{ACCESS_TOKEN, CLIENT_ID, FORGER, NOW, SIGNER, Signer, header, payload, person, subject};
use crate::refusal::salesforce::SalesforceError;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json as value;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use url::Url;

mod callback;
mod client;
mod trouble;

const SECRET: &str = "consumer/secret+with%odd&chars";
const CALLBACK: &str = "https://wiki.example.com/.portcullis/callback";
const CODE: &str = "aPrx4sgoM2Nd1zWeFVlOWveD0HhYmiDiLmlLnXEBgX01tpVOQMWVSUuafFPHu3kCSjzk4CUTZg==";

/// What the pretend org says. Whatever is `Some` is said instead of the good answer.
struct Said {
    discovery: Value,
    keys: Value,
    signer: &'static Signer,
    header: Value,
    payload: Value,
    tokens: Value,
    userinfo: Value,
    instead: HashMap<&'static str, Reply>,
}

struct Org {
    script: Script,
    said: Arc<Mutex<Said>>,
    issuer: String,
}

/// Nonce and verifier of an attempt.
fn secrets(attempt: &Attempt) -> (&str, &str) {
    let Secrets::Oidc { nonce, verifier } = &attempt.secrets else { panic!("another protocol's attempt") };
    (nonce, verifier)
}

fn location(begun: &Begun) -> &str {
    let Way::Redirect(location) = &begun.way else { panic!("a form") };
    location
}

fn sign_response(tokens: &mut Value) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let message = format!("{}{}", tokens["id"].as_str().unwrap(), tokens["issued_at"].as_str().unwrap());
    tokens["signature"] = value!(STANDARD.encode(hmac::sign(&key, message.as_bytes())));
}

impl Org {
    async fn start() -> Self {
        let said = Arc::new(Mutex::new(Said {
            discovery: Value::Null,
            keys: value!({"keys": [SIGNER.jwk("264"), SIGNER.jwk("262")]}),
            signer: &SIGNER,
            header: header(),
            payload: Value::Null,
            tokens: value!({"access_token": ACCESS_TOKEN, "token_type": "Bearer", "id": subject(),
                "issued_at": "1790000000123", "scope": "openid", "instance_url": "https://acme.my.salesforce.com"}),
            userinfo: value!({"sub": subject(), "preferred_username": "ada@acme.example",
                "email": "ada@example.com", "name": "Ada", "user_type": "STANDARD", "active": true,
                "phone_number": null, "address": {}, "custom_attributes": {"team": "blue"}}),
            instead: HashMap::new(),
        }));
        let state = Arc::clone(&said);
        let script = Script::start(move |request| state.lock().unwrap().answer(request)).await;
        let issuer = format!("http://{}", script.address());
        {
            let mut said = said.lock().unwrap();
            sign_response(&mut said.tokens);
            said.discovery = value!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/services/oauth2/authorize?prompt=select_account"),
                "token_endpoint": format!("{issuer}/services/oauth2/token"),
                "userinfo_endpoint": format!("{issuer}/services/oauth2/userinfo"),
                "jwks_uri": format!("{issuer}/id/keys"),
            });
        }
        Self { script, said, issuer }
    }

    fn say(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.said.lock().unwrap());
    }

    fn settings(&self) -> Settings {
        Settings {
            name: ProviderName("salesforce".to_owned()),
            org: Url::parse(&self.issuer).unwrap(),
            client_id: CLIENT_ID.to_owned(),
            client: ClientAuthentication::SecretPost(Secret::new(SECRET.to_owned())),
            organizations: vec![person().0],
            user_types: UserTypes::default(),
            scopes: DEFAULT_SCOPES.map(str::to_owned).to_vec(),
            userinfo: UserInfoMethod::Get,
            clock_skew: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            ca: None,
        }
    }

    fn provider(&self) -> Provider {
        Provider::new(self.settings()).unwrap()
    }

    /// Begins, and lets the org make a good token for the attempt.
    async fn begin(&self, provider: &Provider) -> Result<Begun, Fault> {
        let begun = provider.begin("https://wiki.example.com", CALLBACK, LocalPath::root(), Account::Any, NOW).await?;
        self.say(|said| said.payload = payload(&self.issuer, secrets(&begun.attempt).0));
        Ok(begun)
    }

    /// A whole sign-in, changed by the test after its beginning.
    async fn sign_in(&self, provider: &Provider, change: impl FnOnce(&mut Said)) -> Result<SignedIn, Fault> {
        let begun = self.begin(provider).await?;
        self.say(change);
        let answer = good_answer(&begun.attempt);
        provider.complete(begun.attempt, CALLBACK, answer, NOW).await
    }

    /// The form of the last request to the token endpoint, and its `Authorization`.
    fn last_exchange(&self) -> (HashMap<String, String>, Option<String>) {
        let asked = self.script.asked();
        let request = asked.iter().rfind(|request| request.starts_with("POST /services/oauth2/token")).unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let basic = head.lines().find_map(|line| line.strip_prefix("authorization: ")).map(str::to_owned);
        (url::form_urlencoded::parse(body.as_bytes()).into_owned().collect(), basic)
    }
}

impl Said {
    fn answer(&self, request: &str) -> Reply {
        let target = request.split(' ').nth(1).unwrap_or_default();
        if let Some((_, reply)) = self.instead.iter().find(|(path, _)| target.ends_with(*path)) {
            return reply.clone();
        }
        match target {
            "/.well-known/openid-configuration" => {
                let date = "Date: Mon, 21 Sep 2026 14:14:00 GMT\r\nContent-Type: application/json\r\n";
                reply(200, date, self.discovery.to_string())
            }
            "/id/keys" => json(200, &self.keys),
            "/services/oauth2/token" => {
                let mut tokens = self.tokens.clone();
                if tokens.get("id_token").is_none() {
                    tokens["id_token"] = value!(self.signer.sign(&self.header, &self.payload));
                }
                json(200, &tokens)
            }
            "/services/oauth2/userinfo" => json(200, &self.userinfo),
            _ => reply(404, "", ""),
        }
    }
}

fn good_answer(attempt: &Attempt) -> Answer {
    Answer { code: Some(CODE.to_owned()), state: Some(attempt.state.clone()), ..Answer::default() }
}

fn reason(outcome: Result<SignedIn, Fault>) -> ProviderReason {
    match outcome {
        Err(Fault::ProviderMisbehaved { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_person_signs_in() {
    let org = Org::start().await;
    let provider = org.provider();
    let signed_in = org.sign_in(&provider, |_| ()).await.unwrap();
    let identity = signed_in.identity();
    assert_eq!((identity.organization, identity.user), person());
    assert_eq!(identity.username, "ada@acme.example");
    assert_eq!(identity.email.as_deref(), Some("ada@example.com"));
    assert_eq!(identity.claims["custom_attributes"]["team"], "blue");
    assert_eq!(identity.claims["iss"], org.issuer);
    assert!(!identity.claims.contains_key("nonce") && !identity.claims.contains_key("at_hash"));
    assert_eq!(signed_in.provider(), provider.name());
}

#[tokio::test]
async fn somebody_else_is_asked_who_they_are_once() {
    let org = Org::start().await;
    let (provider, another) = (org.provider(), Account::Another);
    let begun = provider.begin("https://wiki.example.com", CALLBACK, LocalPath::root(), another, NOW).await.unwrap();
    let url = Url::parse(location(&begun)).unwrap();
    let said = |name: &str| -> Vec<String> {
        url.query_pairs().filter(|pair| pair.0 == name).map(|pair| pair.1.into_owned()).collect()
    };
    assert_eq!(said("prompt"), ["login"], "in the place of the address's own: {url}");
    assert_eq!((said("state"), said("redirect_uri")), (vec![begun.attempt.state.clone()], vec![CALLBACK.to_owned()]));
    assert_eq!(said("scope"), ["openid profile email"]);
}

#[tokio::test]
async fn the_way_to_the_org_carries_state_nonce_and_challenge() {
    let org = Org::start().await;
    let begun = org.begin(&org.provider()).await.unwrap();
    let url = Url::parse(location(&begun)).unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let said: HashMap<_, _> = pairs.iter().cloned().collect();
    assert_eq!(pairs.len(), said.len(), "a parameter is repeated: {url}");
    assert_eq!(url.path(), "/services/oauth2/authorize");
    assert_eq!(said["prompt"], "select_account");
    assert_eq!(said["response_type"], "code");
    assert_eq!(said["client_id"], CLIENT_ID);
    assert_eq!(said["redirect_uri"], CALLBACK);
    assert_eq!(said["scope"], "openid profile email");
    assert_eq!(said["state"], begun.attempt.state);
    assert_eq!(said["nonce"], secrets(&begun.attempt).0);
    assert_eq!(said["code_challenge_method"], "S256");
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secrets(&begun.attempt).1.as_bytes());
    assert_eq!(said["code_challenge"], URL_SAFE_NO_PAD.encode(hash.as_ref()));
    assert!(!location(&begun).contains(secrets(&begun.attempt).1));
    assert_eq!((begun.attempt.started, begun.attempt.origin.as_str()), (NOW, "https://wiki.example.com"));
}

#[tokio::test]
async fn no_two_attempts_share_a_secret() {
    let org = Org::start().await;
    let provider = org.provider();
    let (one, two) = (org.begin(&provider).await.unwrap().attempt, org.begin(&provider).await.unwrap().attempt);
    let of = |attempt: &Attempt| {
        let (nonce, verifier) = secrets(attempt);
        [attempt.state.clone(), nonce.to_owned(), verifier.to_owned()]
    };
    let all = [of(&one), of(&two)].concat();
    assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), 6);
}

#[tokio::test]
async fn another_provider_without_the_three_fields_signs_people_in() {
    let org = Org::start().await;
    let provider = org.provider();
    let outcome = org.sign_in(&provider, |said| {
        said.tokens = value!({"access_token": ACCESS_TOKEN, "token_type": "bEARER", "expires_in": "soon"});
    });
    outcome.await.unwrap();
}

#[tokio::test]
async fn documents_are_fetched_once() {
    let org = Org::start().await;
    let provider = org.provider();
    provider.warm().await.unwrap();
    for _ in 0..3 {
        org.sign_in(&provider, |_| ()).await.unwrap();
    }
    assert_eq!(org.script.count("/.well-known/openid-configuration"), 1);
    assert_eq!(org.script.count("/id/keys"), 1);
}

#[tokio::test]
async fn a_rotated_key_is_learned_and_an_invented_one_is_not_asked_for_twice() {
    let org = Org::start().await;
    let provider = org.provider();
    org.sign_in(&provider, |_| ()).await.unwrap();
    let rotated = |said: &mut Said| {
        said.header["kid"] = value!("266");
        said.keys["keys"].as_array_mut().unwrap().push(SIGNER.jwk("266"));
    };
    org.sign_in(&provider, rotated).await.unwrap();
    assert_eq!(org.script.count("/id/keys"), 2);
    for _ in 0..3 {
        let outcome = org.sign_in(&provider, |said| said.header["kid"] = value!("999")).await;
        assert_eq!(reason(outcome), ProviderReason::UnknownKey);
    }
    assert_eq!(org.script.count("/id/keys"), 2);
}

#[tokio::test]
async fn an_inspection_tells_keys_and_clock() {
    let org = Org::start().await;
    let access_key = "CORE_ATJWT.00D5g00000ABCDE.1753488000000";
    org.say(|said| said.keys["keys"].as_array_mut().unwrap().push(SIGNER.jwk(access_key)));
    let theirs = read_date("Mon, 21 Sep 2026 14:14:00 GMT").unwrap();
    let now = Timestamp(u64::try_from(theirs).unwrap() + 7);
    let inspection = org.provider().inspect(now).await.unwrap();
    assert_eq!(inspection.issuer, org.issuer);
    assert_eq!(inspection.usable_keys, ["264", "262"]);
    assert_eq!(inspection.ignored_keys, [(access_key.to_owned(), "it signs access tokens")]);
    assert_eq!(inspection.clock_ahead, Some(-7));
    assert_eq!(inspection.token_endpoint, format!("{}/services/oauth2/token", org.issuer));
}

#[tokio::test]
async fn nothing_that_is_shown_holds_a_secret() {
    let org = Org::start().await;
    let provider = org.provider();
    assert!(!format!("{provider:?} {:?}", provider.settings()).contains(SECRET));
    for change in [
        (|said| said.tokens["access_token"] = value!({"SECRET_TOKEN": 1})) as fn(&mut Said),
        |said| said.tokens["id_token"] = value!(["SECRET_TOKEN"]),
        |said| said.tokens["id_token"] = value!("SECRET_TOKEN.a.b"),
        |said| said.tokens["access_token"] = value!("SECRET_TOKEN"),
        |said| said.tokens["access_token"] = value!("SECRET_TOKEN\n"),
        |said| said.instead = HashMap::from([("/token", reply(200, "", "SECRET_TOKEN"))]),
        |said| said.instead = HashMap::from([("/userinfo", reply(200, "", "SECRET_TOKEN"))]),
    ] {
        let fault = org.sign_in(&provider, change).await.unwrap_err();
        let shown = format!("{fault} {fault:?}");
        assert!(!shown.contains("SECRET_TOKEN") && !shown.contains(CODE), "{shown}");
        org.say(|said| {
            said.instead.clear();
            said.tokens.as_object_mut().unwrap().remove("id_token");
            said.tokens["access_token"] = value!(ACCESS_TOKEN);
        });
    }
}

#[test]
fn a_date_is_read_only_in_its_one_form() {
    assert_eq!(read_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
    assert_eq!(read_date("yesterday"), None);
}

#[tokio::test]
async fn a_sign_in_may_move_between_threads() {
    fn movable<T: Send>(value: T) -> T {
        value
    }
    let org = Org::start().await;
    let provider = org.provider();
    let begun =
        movable(provider.begin("https://a.example", CALLBACK, LocalPath::root(), Account::Any, NOW)).await.unwrap();
    let answer = good_answer(&begun.attempt);
    drop(movable(provider.complete(begun.attempt, CALLBACK, answer, NOW)));
    movable(provider.warm()).await.unwrap();
    movable(provider.inspect(NOW)).await.unwrap();
}
