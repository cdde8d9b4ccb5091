//! The code exchange (RFC 6749 section 4.1.3) on the oauth2 crate, over our own HTTP client.
//!
//! Salesforce rejects `scope` here, sends no `expires_in`, signs part of its answer with the consumer secret,
//! and answers refusals with 400 and JSON, outages with HTML (salesforce.md 2.4 to 2.6). Called by `oidc`.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use oauth2::basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse};
use oauth2::{
    AccessToken, AsyncHttpClient, AuthorizationCode, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope, StandardRevocableToken, TokenResponse,
};

use super::ask::{judge_status, named, read_refusal};
use crate::clock::Timestamp;
use crate::http::client::Client;
use crate::identity::salesforce::{OrgId, UserId, read_subject};
use crate::identity::trouble::{Trouble, clean};
use crate::identity::{Fault, ProviderReason};
use crate::secret::{Secret, random_token};

/// The oauth2 crate's client with the two endpoints that we use.
pub(super) type OAuth = oauth2::Client<
    BasicErrorResponse,
    Tokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// `token_type`: `Bearer`, in any case (RFC 6749 section 5.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct TokenType(String);

impl oauth2::TokenType for TokenType {}

/// A token response as Salesforce sends it (salesforce.md 2.5). Nothing of it prints.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Tokens {
    access_token: AccessToken,
    #[serde(default)]
    token_type: TokenType,
    id_token: Option<String>,
    id: Option<String>,
    issued_at: Option<String>,
    signature: Option<String>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl TokenResponse for Tokens {
    type TokenType = TokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &TokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        None
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        None
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

impl Tokens {
    /// The ID token.
    pub(super) fn id_token(&self) -> Result<&str, Trouble> {
        self.id_token.as_deref().filter(|token| !token.is_empty()).ok_or_else(|| {
            Trouble::misbehaved(ProviderReason::NoIdToken, "the token answer has no ID token; is `openid` granted?")
        })
    }

    /// The access token.
    pub(super) fn access(&self) -> &str {
        self.access_token.secret()
    }

    /// Refuses what is no bearer token: we would not know how to present it.
    fn check_type(&self) -> Result<(), Trouble> {
        if self.token_type.0.eq_ignore_ascii_case("Bearer") {
            return Ok(());
        }
        let detail = format!("`token_type` is {:?}, not Bearer", clean(&self.token_type.0));
        Err(Trouble::misbehaved(ProviderReason::TokenType, detail))
    }

    /// Base64(HMAC-SHA256(consumer secret, `id` + `issued_at`)). Salesforce always sends the three together, so
    /// an answer with one of them must have a signature that verifies; other providers send none of them.
    pub(super) fn check_signature(&self, secret: &Secret<String>) -> Result<(), Trouble> {
        if self.id.is_none() && self.issued_at.is_none() && self.signature.is_none() {
            return Ok(());
        }
        let message = format!("{}{}", self.id.as_deref().unwrap_or(""), self.issued_at.as_deref().unwrap_or(""));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let signature = STANDARD.decode(self.signature.as_deref().unwrap_or("")).unwrap_or_default();
        hmac::verify(&key, message.as_bytes(), &signature).map_err(|_| {
            let detail = "the `signature` of the token answer does not verify with our client_secret";
            Trouble::misbehaved(ProviderReason::ResponseSignature, detail)
        })
    }

    /// `id`, when there is one, must be of the person of the ID token; its host may differ (salesforce.md 2.5).
    pub(super) fn check_identity_address(&self, person: (OrgId, UserId)) -> Result<(), Trouble> {
        match &self.id {
            Some(id) if read_subject(id) != Some(person) => {
                let detail = format!("`id` in the token answer is another than `sub`: {}", clean(id));
                Err(Trouble::misbehaved(ProviderReason::IdentityAddress, detail))
            }
            _ => Ok(()),
        }
    }
}

/// What is exchanged.
pub(super) struct Exchange<'a> {
    pub(super) code: String,
    pub(super) verifier: String,
    pub(super) callback: RedirectUrl,
    /// A signed assertion instead of a secret.
    pub(super) assertion: Option<Secret<String>>,
    pub(super) client: &'a Client,
}

/// Exchanges a code for tokens.
pub(super) async fn exchange(oauth: &OAuth, what: Exchange<'_>) -> Result<Tokens, Trouble> {
    let adapter = Adapter(what.client);
    let address = oauth.token_uri().as_str();
    let mut request = oauth
        .exchange_code(AuthorizationCode::new(what.code))
        .set_pkce_verifier(PkceCodeVerifier::new(what.verifier))
        .set_redirect_uri(Cow::Owned(what.callback));
    if let Some(assertion) = what.assertion {
        // RFC 7523 section 2.2.
        request = request
            .add_extra_param("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .add_extra_param("client_assertion", assertion.expose().clone());
    }
    let outcome = request.request_async(&adapter).await;
    let unreadable = |why: String| {
        Trouble::misbehaved(ProviderReason::UnreadableAnswer, format!("{address}: the token answer {why}"))
    };
    let tokens = outcome.map_err(|problem| match problem {
        RequestTokenError::Request(trouble) => named(address, trouble),
        RequestTokenError::ServerResponse(refusal) => Trouble::Refused {
            error: refusal.error().as_ref().to_owned(),
            description: refusal.error_description().cloned(),
        },
        // Only the place: the parser's words could repeat a token.
        RequestTokenError::Parse(problem, _) => unreadable(format!("is wrong at {}", problem.path())),
        RequestTokenError::Other(_) => unreadable("is empty or no JSON".to_owned()),
    })?;
    if tokens.access().is_empty() {
        return Err(unreadable("has no access token".to_owned()));
    }
    tokens.check_type()?;
    Ok(tokens)
}

/// Our HTTP client, as the oauth2 crate wants it. Only answers that are RFC 6749's own pass.
struct Adapter<'a>(&'a Client);

impl<'c> AsyncHttpClient<'c> for Adapter<'_> {
    type Error = Trouble;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Trouble>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let response = self.0.send(request).await?;
            if response.status() == StatusCode::OK || read_refusal(response.body()).is_some() {
                return Ok(response);
            }
            Err(judge_status("the token endpoint", &response))
        })
    }
}

/// A JWT that proves to `issuer` who we are (RFC 7523 section 3), good for a minute and once.
pub(super) fn assert_client(
    key: &EncodingKey,
    key_id: Option<&str>,
    client_id: &str,
    issuer: &str,
    now: Timestamp,
) -> Result<Secret<String>, Fault> {
    let header = Header { kid: key_id.map(str::to_owned), ..Header::new(Algorithm::RS256) };
    let claims = serde_json::json!({
        "iss": client_id,
        "sub": client_id,
        "aud": issuer,
        "iat": now.0,
        "exp": now.after(Duration::from_secs(60)).0,
        "jti": random_token()?,
    });
    // The key was tried when the provider was made; what remains is the random source.
    jsonwebtoken::encode(&header, &claims, key)
        .map(Secret::new)
        .map_err(|_| Fault::NoRandomness(crate::secret::NoRandomness))
}
