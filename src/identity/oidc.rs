//! OpenID Connect with Salesforce: the web server flow with PKCE (RFC 6749, RFC 7636, OpenID Connect Core).
//!
//! The order of checks *is* the security of this file: `state` before anything else, the ID token before
//! userinfo, and a `SignedIn` only when every answer spoke of the same person. Called by `identity::Provider`.

mod ask;
mod cache;
mod discovery;
mod keys;
mod settings;
mod token;
mod userinfo;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use hyper::header::DATE;
use jsonwebtoken::EncodingKey;
use oauth2::{
    AuthType, AuthUrl, ClientId, ClientSecret, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    TokenUrl,
};
use serde_json::{Map, Value};
use url::Url;

use super::jwt::keys::KeySet;
use super::jwt::{Envelope, Expected};
use super::trouble::Trouble;
use super::{
    Account, Answer, Attempt, Begun, BrowserReason, Fault, Identity, ProviderName, ProviderReason, Secrets, SignedIn,
    Way, salesforce,
};
use crate::clock::Timestamp;
use crate::http::client::Client;
use crate::http::path::LocalPath;
use crate::secret::{Secret, random_token, same};
use cache::Cache;
use discovery::Endpoints;
use token::{Exchange, OAuth, assert_client};

pub use settings::{
    ClientAuthentication, DEFAULT_SCOPES, MAX_CLOCK_SKEW, Settings, SetupProblem, UserInfoMethod, UserTypes,
};

/// What `check --live` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The issuer.
    pub issuer: String,
    /// Where browsers are sent to sign in.
    pub authorization_endpoint: String,
    /// Where codes are exchanged.
    pub token_endpoint: String,
    /// Where people are described.
    pub userinfo_endpoint: String,
    /// Where keys are published.
    pub jwks_uri: String,
    /// The ids of the keys that may sign ID tokens.
    pub usable_keys: Vec<String>,
    /// The other keys, each with the reason.
    pub ignored_keys: Vec<(String, &'static str)>,
    /// How far the provider's clock is ahead of ours, in seconds, when it told its time.
    pub clock_ahead: Option<i64>,
}

/// One Salesforce org as an identity provider.
pub struct Provider {
    settings: Settings,
    issuer: String,
    client: Client,
    key: Option<EncodingKey>,
    endpoints: Cache<Endpoints>,
    keys: Cache<KeySet>,
}

impl Provider {
    /// Checks the settings and reads the keys; speaks to nobody yet.
    ///
    /// # Errors
    /// [`SetupProblem`] says what to change.
    pub fn new(settings: Settings) -> Result<Self, SetupProblem> {
        settings.check()?;
        Ok(Self {
            issuer: settings.issuer(),
            client: Client::new(settings.timeout, settings.ca.as_deref())?,
            key: settings.read_key()?,
            endpoints: Cache::new(discovery::FRESH, discovery::BOUND),
            keys: Cache::new(keys::FRESH, keys::BOUND),
            settings,
        })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &ProviderName {
        &self.settings.name
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// See [`super::Provider::begin`]. PKCE is sent even when discovery is silent about it: Salesforce honours
    /// it without saying so (salesforce.md 1.3).
    ///
    /// # Errors
    /// When discovery cannot be had or is not to be trusted.
    pub async fn begin(
        &self,
        origin: &str,
        callback: &str,
        return_to: LocalPath,
        account: Account,
        now: Timestamp,
    ) -> Result<Begun, Fault> {
        let endpoints = self.endpoints().await?;
        let (nonce, verifier) = (random_token()?, random_token()?);
        let attempt = Attempt {
            state: random_token()?,
            secrets: Secrets::Oidc { nonce: nonce.clone(), verifier: verifier.clone() },
            provider: self.settings.name.clone(),
            origin: origin.to_owned(),
            return_to,
            started: now,
        };
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(verifier));
        let (mut location, _) = self
            .oauth(&endpoints)
            .authorize_url(|| CsrfToken::new(attempt.state.clone()))
            .set_pkce_challenge(challenge)
            .set_redirect_uri(Cow::Owned(read_callback(callback)?))
            .add_scopes(self.settings.scopes.iter().cloned().map(Scope::new))
            .add_extra_param("nonce", &nonce)
            .url();
        if account == Account::Another {
            ask_anew(&mut location);
        }
        Ok(Begun { way: Way::Redirect(location.into()), attempt })
    }

    /// Finishes an attempt: compares `state` first, then exchanges and verifies. Consumes the attempt.
    ///
    /// # Errors
    /// Whatever was wrong, by whose fault.
    pub async fn complete(
        &self,
        attempt: Attempt,
        callback: &str,
        answer: Answer,
        now: Timestamp,
    ) -> Result<SignedIn, Fault> {
        let code = self.read_answer(&attempt, answer)?;
        let Secrets::Oidc { nonce, verifier } = attempt.secrets else {
            return Err(Fault::BrowserMisbehaved(BrowserReason::IssuerMismatch));
        };
        let endpoints = self.endpoints().await?;
        let exchange = Exchange {
            code,
            verifier,
            callback: read_callback(callback)?,
            assertion: self.assertion(now)?,
            client: &self.client,
        };
        let tokens = token::exchange(&self.oauth(&endpoints), exchange).await?;
        if let Some(secret) = self.secret() {
            tokens.check_signature(secret)?;
        }
        let envelope = Envelope::open(tokens.id_token()?)?;
        let keys = keys::find(&self.keys, &self.client, endpoints.keys.as_str(), envelope.key_id()).await?;
        let key = keys.find(envelope.key_id()).ok_or_else(|| {
            let detail = format!("the ID token is signed by the unpublished key {}", envelope.key_id());
            Trouble::misbehaved(ProviderReason::UnknownKey, detail)
        })?;
        let expected = Expected {
            issuer: &self.issuer,
            client_id: &self.settings.client_id,
            nonce: &nonce,
            access_token: Some(tokens.access()),
            clock_skew: self.settings.clock_skew,
            now,
        };
        let claims = envelope.verify(key, &expected)?;
        let person = (claims.organization, claims.user);
        tokens.check_identity_address(person)?;
        let userinfo =
            userinfo::fetch(&self.client, endpoints.userinfo.as_str(), self.settings.userinfo, tokens.access(), person)
                .await?;
        Ok(SignedIn::new(self.describe(person, claims.all, userinfo), self.settings.name.clone()))
    }

    /// Fetches discovery and keys, so that the first sign-in need not: readiness asks this.
    ///
    /// # Errors
    /// When either cannot be had or is not to be trusted.
    pub async fn warm(&self) -> Result<(), Fault> {
        let endpoints = self.endpoints().await?;
        self.keys.get(|| keys::fetch(&self.client, endpoints.keys.as_str())).await?;
        Ok(())
    }

    /// Asks the provider afresh, for `check --live`.
    ///
    /// # Errors
    /// When discovery or keys cannot be had or are not to be trusted.
    pub async fn inspect(&self, now: Timestamp) -> Result<Inspection, Fault> {
        let (head, endpoints) = discovery::fetch(&self.client, &self.issuer).await?;
        let keys = keys::fetch(&self.client, endpoints.keys.as_str()).await?;
        Ok(Inspection {
            issuer: self.issuer.clone(),
            authorization_endpoint: endpoints.authorization.into(),
            token_endpoint: endpoints.token.into(),
            userinfo_endpoint: endpoints.userinfo.into(),
            jwks_uri: endpoints.keys.into(),
            usable_keys: keys.usable().map(str::to_owned).collect(),
            ignored_keys: keys.ignored().to_vec(),
            clock_ahead: head
                .headers()
                .get(DATE)
                .and_then(|date| read_date(date.to_str().ok()?))
                .map(|theirs| theirs.saturating_sub_unsigned(now.0)),
        })
    }

    async fn endpoints(&self) -> Result<Arc<Endpoints>, Trouble> {
        let fetch = async || discovery::fetch(&self.client, &self.issuer).await.map(|(_, endpoints)| endpoints);
        self.endpoints.get(fetch).await
    }

    fn oauth(&self, endpoints: &Endpoints) -> OAuth {
        let oauth = oauth2::Client::new(ClientId::new(self.settings.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(endpoints.authorization.clone()))
            .set_token_uri(TokenUrl::from_url(endpoints.token.clone()));
        match &self.settings.client {
            ClientAuthentication::SecretPost(secret) => {
                oauth.set_auth_type(AuthType::RequestBody).set_client_secret(ClientSecret::new(secret.expose().clone()))
            }
            ClientAuthentication::SecretBasic(secret) => {
                oauth.set_auth_type(AuthType::BasicAuth).set_client_secret(ClientSecret::new(secret.expose().clone()))
            }
            ClientAuthentication::PrivateKeyJwt { .. } | ClientAuthentication::Public => {
                oauth.set_auth_type(AuthType::RequestBody)
            }
        }
    }

    fn secret(&self) -> Option<&Secret<String>> {
        match &self.settings.client {
            ClientAuthentication::SecretPost(secret) | ClientAuthentication::SecretBasic(secret) => Some(secret),
            ClientAuthentication::PrivateKeyJwt { .. } | ClientAuthentication::Public => None,
        }
    }

    fn assertion(&self, now: Timestamp) -> Result<Option<Secret<String>>, Fault> {
        match (&self.settings.client, &self.key) {
            (ClientAuthentication::PrivateKeyJwt { key_id, .. }, Some(key)) => {
                assert_client(key, key_id.as_deref(), &self.settings.client_id, &self.issuer, now).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The code of an answer to *this* attempt. `state` is compared before anything else of it is looked at
    /// (RFC 9700 section 4.7): whatever a stranger sends, it cannot even choose an error page.
    fn read_answer(&self, attempt: &Attempt, answer: Answer) -> Result<String, Fault> {
        let state = answer.state.unwrap_or_default();
        if attempt.state.is_empty() || !same(state.as_bytes(), attempt.state.as_bytes()) {
            return Err(Fault::BrowserMisbehaved(BrowserReason::StateMismatch));
        }
        let ours = attempt.provider == self.settings.name;
        // RFC 9207 section 2.4; Salesforce sends no `iss`, so its absence says nothing.
        if !ours || answer.issuer.is_some_and(|issuer| issuer != self.issuer) {
            return Err(Fault::BrowserMisbehaved(BrowserReason::IssuerMismatch));
        }
        if let Some(error) = answer.error {
            return Err(Trouble::Refused { error, description: answer.error_description }.into_fault());
        }
        answer.code.filter(|code| !code.is_empty()).ok_or(Fault::BrowserMisbehaved(BrowserReason::NoCode))
    }

    /// Merges what was said. Userinfo speaks last, but not about what only the ID token can say.
    fn describe(
        &self,
        (organization, user): (salesforce::OrgId, salesforce::UserId),
        mut claims: Map<String, Value>,
        userinfo: Map<String, Value>,
    ) -> Identity {
        const OF_THE_TOKEN: [&str; 9] = ["iss", "sub", "aud", "azp", "exp", "iat", "nbf", "nonce", "at_hash"];
        claims.extend(userinfo.into_iter().filter(|(name, _)| !OF_THE_TOKEN.contains(&name.as_str())));
        claims.remove("nonce");
        claims.remove("at_hash");
        salesforce::read_identity(organization, user, claims)
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.settings.name)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// Has Salesforce ask who it is, in the place of whatever its own address asks for: a parameter counts once (RFC 6749
/// section 3.1). With `login` it asks even whom it knows.
fn ask_anew(location: &mut Url) {
    let others: Vec<_> = location.query_pairs().into_owned().filter(|(name, _)| name != "prompt").collect();
    location.query_pairs_mut().clear().extend_pairs(others).append_pair("prompt", "login");
}

fn read_callback(callback: &str) -> Result<RedirectUrl, Trouble> {
    RedirectUrl::new(callback.to_owned())
        .map_err(|_| Trouble::Unreachable("the gateway's own callback is no address".to_owned()))
}

/// A `Date` (RFC 9110 section 5.6.7) as seconds since the epoch.
fn read_date(text: &str) -> Option<i64> {
    let form = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    Some(time::PrimitiveDateTime::parse(text, &form).ok()?.assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::client::script::{Reply, Script, json, reply};
    use crate::identity::trial::{
        ACCESS_TOKEN, CLIENT_ID, FORGER, NOW, SIGNER, Signer, header, payload, person, subject,
    };
    use crate::refusal::salesforce::SalesforceError;
    use aws_lc_rs::hmac;
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use serde_json::json as value;
    use std::collections::HashMap;
    use std::sync::Mutex;
    use std::time::Duration;
    use url::Url;

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
            let begun =
                provider.begin("https://wiki.example.com", CALLBACK, LocalPath::root(), Account::Any, NOW).await?;
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
        let begun =
            provider.begin("https://wiki.example.com", CALLBACK, LocalPath::root(), another, NOW).await.unwrap();
        let url = Url::parse(location(&begun)).unwrap();
        let said = |name: &str| -> Vec<String> {
            url.query_pairs().filter(|pair| pair.0 == name).map(|pair| pair.1.into_owned()).collect()
        };
        assert_eq!(said("prompt"), ["login"], "in the place of the address's own: {url}");
        assert_eq!(
            (said("state"), said("redirect_uri")),
            (vec![begun.attempt.state.clone()], vec![CALLBACK.to_owned()])
        );
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
    async fn the_exchange_sends_code_and_verifier_and_never_scope() {
        let org = Org::start().await;
        let provider = org.provider();
        let begun = org.begin(&provider).await.unwrap();
        let (verifier, answer) = (secrets(&begun.attempt).1.to_owned(), good_answer(&begun.attempt));
        provider.complete(begun.attempt, CALLBACK, answer, NOW).await.unwrap();
        let (form, basic) = org.last_exchange();
        assert_eq!(form["grant_type"], "authorization_code");
        assert_eq!(form["code"], CODE);
        assert_eq!(form["code_verifier"], verifier);
        assert_eq!(form["redirect_uri"], CALLBACK);
        assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), (CLIENT_ID, SECRET));
        assert!(!form.contains_key("scope") && basic.is_none());
    }

    #[tokio::test]
    async fn a_secret_may_go_in_the_header() {
        let org = Org::start().await;
        let client = ClientAuthentication::SecretBasic(Secret::new(SECRET.to_owned()));
        let provider = Provider::new(Settings { client, ..org.settings() }).unwrap();
        org.sign_in(&provider, |_| ()).await.unwrap();
        let (form, basic) = org.last_exchange();
        assert!(!form.contains_key("client_secret"));
        let pair = String::from_utf8(STANDARD.decode(basic.unwrap().strip_prefix("Basic ").unwrap()).unwrap()).unwrap();
        // RFC 6749 section 2.3.1: both are form-encoded first.
        assert_eq!(pair, format!("{CLIENT_ID}:consumer%2Fsecret%2Bwith%25odd%26chars"));
    }

    #[tokio::test]
    async fn a_public_client_sends_no_secret() {
        let org = Org::start().await;
        let provider = Provider::new(Settings { client: ClientAuthentication::Public, ..org.settings() }).unwrap();
        org.sign_in(&provider, |said| said.tokens["signature"] = value!("cannot be checked")).await.unwrap();
        let (form, basic) = org.last_exchange();
        assert_eq!(form["client_id"], CLIENT_ID);
        assert!(!form.contains_key("client_secret") && !form.contains_key("client_assertion") && basic.is_none());
    }

    #[tokio::test]
    async fn a_key_may_stand_for_the_secret() {
        let org = Org::start().await;
        let key_pem = Secret::new(SIGNER.pem.clone());
        let client = ClientAuthentication::PrivateKeyJwt { key_pem, key_id: Some("ours".to_owned()) };
        let provider = Provider::new(Settings { client, ..org.settings() }).unwrap();
        org.sign_in(&provider, |_| ()).await.unwrap();
        let (form, basic) = org.last_exchange();
        assert!(!form.contains_key("client_secret") && basic.is_none());
        assert_eq!(form["client_id"], CLIENT_ID);
        assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let key = serde_json::from_value(SIGNER.jwk("ours")).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(&key).unwrap();
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
        validation.set_audience(&[&org.issuer]);
        validation.validate_exp = false;
        let said = jsonwebtoken::decode::<Value>(&form["client_assertion"], &key, &validation).unwrap();
        assert_eq!(said.header.kid.as_deref(), Some("ours"));
        assert_eq!((&said.claims["iss"], &said.claims["sub"]), (&value!(CLIENT_ID), &value!(CLIENT_ID)));
        assert_eq!(said.claims["exp"], NOW.0 + 60);
        assert_eq!(said.claims["jti"].as_str().unwrap().len(), 43);
    }

    #[tokio::test]
    async fn userinfo_is_asked_either_way_with_the_token_in_the_header() {
        for (userinfo, method) in [(UserInfoMethod::Get, "GET"), (UserInfoMethod::Post, "POST")] {
            let org = Org::start().await;
            let provider = Provider::new(Settings { userinfo, ..org.settings() }).unwrap();
            org.sign_in(&provider, |_| ()).await.unwrap();
            let asked = org.script.asked().pop().unwrap();
            assert!(asked.starts_with(&format!("{method} /services/oauth2/userinfo HTTP/1.1\r\n")), "{asked}");
            assert!(asked.contains(&format!("authorization: Bearer {ACCESS_TOKEN}\r\n")), "{asked}");
        }
    }

    /// Every way in which a provider can misbehave, each noticed for its own reason.
    #[tokio::test]
    async fn a_misbehaving_org_signs_nobody_in() {
        use ProviderReason as Reason;
        type Change = fn(&mut Said);
        let html = || reply(200, "Content-Type: text/html\r\n", "<html>");
        let cases: Vec<(Reason, Change)> = vec![
            (Reason::TokenType, |said| said.tokens["token_type"] = value!("DPoP")),
            (Reason::TokenType, |said| {
                said.tokens.as_object_mut().unwrap().remove("token_type");
            }),
            (Reason::NoIdToken, |said| said.tokens["id_token"] = value!(null)),
            (Reason::NoIdToken, |said| said.tokens["id_token"] = value!("")),
            (Reason::UnreadableAnswer, |said| said.tokens["access_token"] = value!("")),
            (Reason::UnreadableAnswer, |said| said.tokens["access_token"] = value!({"a": 1})),
            (Reason::Malformed, |said| said.tokens["id_token"] = value!("a.b.c")),
            (Reason::Algorithm, |said| said.header["alg"] = value!("none")),
            (Reason::UnknownKey, |said| said.header["kid"] = value!("999")),
            (Reason::Signature, |said| said.signer = &FORGER),
            (Reason::Issuer, |said| said.payload["iss"] = value!("https://login.salesforce.com")),
            (Reason::Audience, |said| said.payload["aud"] = value!("another")),
            (Reason::Nonce, |said| said.payload["nonce"] = value!("another")),
            (Reason::AccessTokenHash, |said| said.tokens["access_token"] = value!("another")),
            (Reason::Times, |said| said.payload["exp"] = value!(NOW.0 - 60)),
            (Reason::Subject, |said| said.payload["sub"] = value!("somebody")),
            (Reason::ResponseSignature, |said| said.tokens["signature"] = value!("AAAA")),
            (Reason::ResponseSignature, |said| said.tokens["issued_at"] = value!("1790000000124")),
            (Reason::ResponseSignature, |said| said.tokens["signature"] = value!(null)),
            (Reason::IdentityAddress, |said| {
                said.tokens["id"] = value!("https://login.salesforce.com/id/00D5g00000ABCDEEA5/x");
                sign_response(&mut said.tokens);
            }),
            (Reason::UserInfoSubject, |said| said.userinfo["sub"] = value!("somebody")),
            (Reason::UserInfoSubject, |said| said.userinfo["user_id"] = value!("0055g00000AbCdF")),
        ];
        for (index, (expected, change)) in cases.into_iter().enumerate() {
            let org = Org::start().await;
            let outcome = org.sign_in(&org.provider(), change).await;
            assert_eq!(reason(outcome), expected, "case {index}");
        }
        for (path, instead, expected) in [
            ("/token", html(), Reason::UnreadableAnswer),
            ("/token", json(200, &value!(["a list"])), Reason::UnreadableAnswer),
            ("/token", reply(302, "Location: /elsewhere?code=x\r\n", ""), Reason::UnexpectedStatus),
            ("/token", reply(404, "Content-Type: text/html\r\n", "<html>"), Reason::UnexpectedStatus),
            ("/token", reply(200, "", vec![b' '; 1024 * 1024 + 1]), Reason::AnswerTooLarge),
            ("/userinfo", html(), Reason::UnreadableAnswer),
            ("/userinfo", reply(307, "Location: /elsewhere\r\n", ""), Reason::UnexpectedStatus),
            ("/userinfo", reply(403, "", "<html>no</html>"), Reason::UnexpectedStatus),
            ("/keys", html(), Reason::UnreadableAnswer),
            ("/keys", json(200, &value!({})), Reason::UnreadableAnswer),
        ] {
            let org = Org::start().await;
            let words = format!("{path} {instead:.60?}");
            let outcome = org.sign_in(&org.provider(), |said| said.instead = HashMap::from([(path, instead)])).await;
            assert_eq!(reason(outcome), expected, "{words}");
            assert_eq!(org.script.count("/elsewhere"), 0);
        }
    }

    #[tokio::test]
    async fn a_misleading_discovery_begins_nothing() {
        for (expected, name, said) in [
            (ProviderReason::DiscoveryIssuer, "issuer", value!("https://evil.example")),
            (ProviderReason::EndpointElsewhere, "token_endpoint", value!("https://evil.example/token")),
            (ProviderReason::UnreadableAnswer, "jwks_uri", value!(null)),
        ] {
            let org = Org::start().await;
            org.say(|org| org.discovery[name] = said);
            let Err(Fault::ProviderMisbehaved { reason, .. }) = org.begin(&org.provider()).await else {
                panic!("{name} was believed")
            };
            assert_eq!(reason, expected);
        }
    }

    #[tokio::test]
    async fn a_redirected_discovery_says_where_to() {
        let org = Org::start().await;
        let moved = reply(301, "Location: https://acme.my.site.com/portal/?secret=1\r\n", "");
        org.say(|said| said.instead = HashMap::from([("/openid-configuration", moved)]));
        let Err(Fault::ProviderMisbehaved { reason, detail }) = org.begin(&org.provider()).await else {
            panic!("a redirect was followed")
        };
        assert_eq!(reason, ProviderReason::UnexpectedStatus);
        assert!(detail.contains("301 to https://acme.my.site.com/portal/ "), "{detail}");
        assert!(!detail.contains("secret"), "{detail}");
    }

    #[tokio::test]
    async fn a_foreign_state_is_noticed_before_anything_else() {
        let org = Org::start().await;
        let provider = org.provider();
        for state in [None, Some(String::new()), Some("another".to_owned())] {
            let begun = org.begin(&provider).await.unwrap();
            let before = org.script.asked().len();
            let answer = Answer {
                state,
                error: Some("OAUTH_APP_BLOCKED".to_owned()),
                issuer: Some("https://evil.example".to_owned()),
                ..good_answer(&begun.attempt)
            };
            let outcome = provider.complete(begun.attempt, CALLBACK, answer, NOW).await;
            assert!(matches!(outcome, Err(Fault::BrowserMisbehaved(BrowserReason::StateMismatch))), "{outcome:?}");
            assert_eq!(org.script.asked().len(), before);
        }
    }

    #[tokio::test]
    async fn an_attempt_without_state_matches_nothing() {
        let org = Org::start().await;
        let provider = org.provider();
        let mut attempt = org.begin(&provider).await.unwrap().attempt;
        attempt.state.clear();
        let answer = good_answer(&attempt);
        let outcome = provider.complete(attempt, CALLBACK, answer, NOW).await;
        assert!(matches!(outcome, Err(Fault::BrowserMisbehaved(BrowserReason::StateMismatch))), "{outcome:?}");
    }

    #[tokio::test]
    async fn an_answer_of_another_issuer_is_a_mix_up() {
        let org = Org::start().await;
        let provider = org.provider();
        let mut begun = org.begin(&provider).await.unwrap();
        let foreign = Answer { issuer: Some("https://evil.example".to_owned()), ..good_answer(&begun.attempt) };
        let outcome = provider.complete(begun.attempt, CALLBACK, foreign, NOW).await;
        assert!(matches!(outcome, Err(Fault::BrowserMisbehaved(BrowserReason::IssuerMismatch))), "{outcome:?}");
        begun = org.begin(&provider).await.unwrap();
        begun.attempt.provider = ProviderName("another".to_owned());
        let answer = good_answer(&begun.attempt);
        let outcome = provider.complete(begun.attempt, CALLBACK, answer, NOW).await;
        assert!(matches!(outcome, Err(Fault::BrowserMisbehaved(BrowserReason::IssuerMismatch))), "{outcome:?}");
        assert_eq!(org.script.count("/services/oauth2/token"), 0);
        begun = org.begin(&provider).await.unwrap();
        let ours = Answer { issuer: Some(org.issuer.clone()), ..good_answer(&begun.attempt) };
        provider.complete(begun.attempt, CALLBACK, ours, NOW).await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_without_a_code_is_the_browsers_fault() {
        let org = Org::start().await;
        let provider = org.provider();
        for code in [None, Some(String::new())] {
            let begun = org.begin(&provider).await.unwrap();
            let answer = Answer { code, ..good_answer(&begun.attempt) };
            let outcome = provider.complete(begun.attempt, CALLBACK, answer, NOW).await;
            assert!(matches!(outcome, Err(Fault::BrowserMisbehaved(BrowserReason::NoCode))), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_denial_on_the_callback_is_salesforces_refusal() {
        let org = Org::start().await;
        let provider = org.provider();
        let begun = org.begin(&provider).await.unwrap();
        let answer = Answer {
            error: Some("access_denied".to_owned()),
            error_description: Some("end-user denied\nauthorization".to_owned()),
            ..good_answer(&begun.attempt)
        };
        let Err(Fault::ProviderRefused { error, detail }) =
            provider.complete(begun.attempt, CALLBACK, answer, NOW).await
        else {
            panic!("a denial signed somebody in")
        };
        assert_eq!(error, SalesforceError::AccessDenied);
        assert_eq!(detail, "access_denied: end-user denied authorization");
        assert_eq!(org.script.count("/services/oauth2/token"), 0);
    }

    #[tokio::test]
    async fn refusals_and_outages_are_told_apart() {
        let refusal = value!({"error": "invalid_app_access", "error_description": "user is not admin approved"});
        let html = "<html>maintenance</html>";
        for (path, instead, refused) in [
            ("/token", json(400, &refusal), true),
            ("/token", json(503, &value!({"error": "system_down"})), true),
            ("/token", reply(503, "Content-Type: text/html\r\n", html), false),
            ("/token", reply(500, "", ""), false),
            ("/token", reply(429, "", "slow down"), false),
            ("/userinfo", reply(403, "Content-Type: text/plain\r\n", "Bad_OAuth_Token"), true),
            ("/userinfo", reply(401, "", "Missing_OAuth_Token\n"), true),
            ("/userinfo", reply(502, "", html), false),
            ("/keys", reply(503, "", html), false),
        ] {
            let org = Org::start().await;
            let words = format!("{path} {instead:.60?}");
            let outcome = org.sign_in(&org.provider(), |said| said.instead = HashMap::from([(path, instead)])).await;
            match outcome {
                Err(Fault::ProviderRefused { .. }) => assert!(refused, "{words}"),
                Err(Fault::ProviderUnreachable(_)) => assert!(!refused, "{words}"),
                other => panic!("{words}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_silent_org_is_given_up_in_time() {
        let org = Org::start().await;
        let provider = Provider::new(Settings { timeout: Duration::from_millis(200), ..org.settings() }).unwrap();
        let silence = |said: &mut Said| said.instead = HashMap::from([("/token", Reply::Silence)]);
        let outcome = org.sign_in(&provider, silence).await;
        assert!(matches!(outcome, Err(Fault::ProviderTimeout(_))), "{outcome:?}");
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
    async fn userinfo_cannot_speak_for_the_token() {
        let org = Org::start().await;
        let provider = org.provider();
        let signed_in = org.sign_in(&provider, |said| {
            said.userinfo["iss"] = value!("https://evil.example");
            said.userinfo["aud"] = value!("another");
            said.payload["name"] = value!("an older name");
        });
        let signed_in = signed_in.await.unwrap();
        let claims = &signed_in.identity().claims;
        assert_eq!((&claims["iss"], &claims["aud"]), (&value!(org.issuer), &value!(CLIENT_ID)));
        assert_eq!(claims["name"], "Ada");
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
}
