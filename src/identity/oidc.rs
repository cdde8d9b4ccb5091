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
mod tests;
