//! What `[provider.NAME]` says, and whether a provider can be made of it.
//!
//! What can be judged without asking anybody is judged here, before the gateway starts: above all that a login
//! host shared by every org comes with a list of organizations. Called by `config` and `oidc`.

use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey};
use url::Url;

use crate::http::origin::is_loopback;
use crate::identity::ProviderName;
use crate::identity::salesforce::{OrgId, is_shared_login_host};
use crate::secret::Secret;

/// What `[provider.NAME]` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The table's name.
    pub name: ProviderName,
    /// The org's address: My Domain, sandbox, Experience Cloud site with its path, or a login host.
    pub org: Url,
    /// The consumer key.
    pub client_id: String,
    /// How the gateway proves to the token endpoint who it is.
    pub client: ClientAuthentication,
    /// Whose users may sign in; empty means anybody whom the org's address vouches for.
    pub organizations: Vec<OrgId>,
    /// Which kinds of users may sign in.
    pub user_types: UserTypes,
    /// What is asked of Salesforce; must hold `openid`.
    pub scopes: Vec<String>,
    /// How userinfo is asked.
    pub userinfo: UserInfoMethod,
    /// How far Salesforce's clock and ours may differ; at most [`MAX_CLOCK_SKEW`].
    pub clock_skew: Duration,
    /// For each question to the provider, from connecting to the last byte.
    pub timeout: Duration,
    /// Certificates (PEM) to trust beside the system's.
    pub ca: Option<PathBuf>,
}

/// The most that `clock_skew` may be: ID tokens live for two minutes.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(180);

/// What is asked for unless the configuration says otherwise. Never `full`, `api` or `web`: such an access
/// token is a session in the user's CRM.
pub const DEFAULT_SCOPES: [&str; 3] = ["openid", "profile", "email"];

/// How the gateway proves to the token endpoint who it is.
#[derive(Clone, Debug)]
pub enum ClientAuthentication {
    /// The consumer secret in the form: works everywhere.
    SecretPost(Secret<String>),
    /// The consumer secret in `Authorization`: advertised by Salesforce, but has failed in the field.
    SecretBasic(Secret<String>),
    /// A JWT signed with a key whose certificate was uploaded to the app (RFC 7523).
    PrivateKeyJwt {
        /// RSA, PKCS#8 or PKCS#1 in PEM.
        key_pem: Secret<String>,
        /// `kid`, when the provider knows several keys.
        key_id: Option<String>,
    },
    /// None: "Require Secret for Web Server Flow" is unticked, PKCE alone protects the code.
    Public,
}

/// Which `user_type`s may sign in: an allow-list, because Salesforce's list of portal kinds is its own affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserTypes {
    /// Only these.
    Only(Vec<String>),
    /// Whoever the org lets use the app: partners and customers included.
    Any,
}

impl Default for UserTypes {
    fn default() -> Self {
        Self::Only(vec!["STANDARD".to_owned()])
    }
}

/// How userinfo is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserInfoMethod {
    /// GET, as Salesforce documents.
    #[default]
    Get,
    /// POST, as OpenID Connect also allows.
    Post,
}

/// Why a provider cannot be made of its settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupProblem {
    /// Neither https nor this very machine.
    #[error("`org` must begin with https://")]
    OrgScheme,
    /// A query, fragment, user name, or the address of the discovery document itself.
    #[error("`org` must be a host and at most the path of a site, such as https://acme.my.salesforce.com")]
    OrgShape,
    /// The host of the Lightning or Setup pages, which signs nobody in.
    #[error("`org` is a page of Salesforce, not the org's sign-in address; write {0}")]
    PageHost(String),
    /// A login host shared by all orgs, without a list of organizations.
    #[error(
        "`organizations` is required: {0} signs in the users of every Salesforce org, so without it anybody with any org could come in"
    )]
    OrganizationsRequired(String),
    /// No consumer key.
    #[error("`client_id` is empty")]
    NoClientId,
    /// An empty consumer secret.
    #[error("`client_secret` is empty; leave it out when the app requires none")]
    EmptySecret,
    /// `openid` is not asked for.
    #[error("`scopes` must hold `openid`")]
    NoOpenId,
    /// More than [`MAX_CLOCK_SKEW`].
    #[error("`clock_skew` must be at most 3 minutes: Salesforce's ID tokens live for two")]
    ClockSkew,
    /// The client's private key is unreadable.
    #[error("the private key is no RSA key of at least 2048 bits in PEM")]
    PrivateKey,
    /// The HTTP client could not be made.
    #[error(transparent)]
    Client(#[from] crate::http::client::SetupProblem),
}

impl Settings {
    /// The issuer: the org's address without a trailing slash (OpenID Connect Discovery section 4.1).
    pub(super) fn issuer(&self) -> String {
        self.org.as_str().trim_end_matches('/').to_owned()
    }

    /// Judges what can be judged alone.
    pub(super) fn check(&self) -> Result<(), SetupProblem> {
        self.check_org()?;
        if self.client_id.is_empty() {
            return Err(SetupProblem::NoClientId);
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            return Err(SetupProblem::NoOpenId);
        }
        if self.clock_skew > MAX_CLOCK_SKEW {
            return Err(SetupProblem::ClockSkew);
        }
        match &self.client {
            ClientAuthentication::SecretPost(secret) | ClientAuthentication::SecretBasic(secret) => {
                if secret.expose().is_empty() {
                    return Err(SetupProblem::EmptySecret);
                }
            }
            ClientAuthentication::PrivateKeyJwt { .. } | ClientAuthentication::Public => {}
        }
        Ok(())
    }

    fn check_org(&self) -> Result<(), SetupProblem> {
        let plain_but_local = self.org.scheme() == "http" && is_loopback(&self.org);
        if self.org.scheme() != "https" && !plain_but_local {
            return Err(SetupProblem::OrgScheme);
        }
        let bare = self.org.query().is_none()
            && self.org.fragment().is_none()
            && self.org.username().is_empty()
            && self.org.password().is_none();
        if !bare || self.org.path().contains("/.well-known") {
            return Err(SetupProblem::OrgShape);
        }
        let host = self.org.host_str().unwrap_or_default();
        for page in [".lightning.force.com", ".my.salesforce-setup.com"] {
            if let Some(domain) = host.strip_suffix(page) {
                return Err(SetupProblem::PageHost(format!("https://{domain}.my.salesforce.com")));
            }
        }
        if is_shared_login_host(host) && self.organizations.is_empty() {
            return Err(SetupProblem::OrganizationsRequired(host.to_owned()));
        }
        Ok(())
    }

    /// The private key of `private_key_jwt`, tried once, so that it cannot fail at a sign-in.
    pub(super) fn read_key(&self) -> Result<Option<EncodingKey>, SetupProblem> {
        let ClientAuthentication::PrivateKeyJwt { key_pem, .. } = &self.client else { return Ok(None) };
        let key = EncodingKey::from_rsa_pem(key_pem.expose().as_bytes()).map_err(|_| SetupProblem::PrivateKey)?;
        jsonwebtoken::crypto::sign(b"", &key, Algorithm::RS256).map_err(|_| SetupProblem::PrivateKey)?;
        Ok(Some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::oidc::{DEFAULT_SCOPES, Provider};
    use crate::identity::trial::{CLIENT_ID, SIGNER, person};

    fn settings() -> Settings {
        Settings {
            name: ProviderName("salesforce".to_owned()),
            org: Url::parse("https://acme.my.salesforce.com").unwrap(),
            client_id: CLIENT_ID.to_owned(),
            client: ClientAuthentication::Public,
            organizations: Vec::new(),
            user_types: UserTypes::default(),
            scopes: DEFAULT_SCOPES.map(str::to_owned).to_vec(),
            userinfo: UserInfoMethod::Get,
            clock_skew: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            ca: None,
        }
    }

    fn at(org: &str) -> Settings {
        Settings { org: Url::parse(org).unwrap(), ..settings() }
    }

    fn problem(settings: Settings) -> SetupProblem {
        Provider::new(settings).expect_err("it was accepted")
    }

    #[test]
    fn an_orgs_own_address_is_enough() {
        Provider::new(settings()).unwrap();
        Provider::new(at("http://127.0.0.1:8443")).unwrap();
        assert_eq!(at("https://acme.my.site.com/portal/").issuer(), "https://acme.my.site.com/portal");
        assert_eq!(at("https://ACME.my.salesforce.com:443/").issuer(), "https://acme.my.salesforce.com");
    }

    #[test]
    fn a_shared_login_host_needs_its_organizations() {
        assert!(matches!(problem(at("https://login.salesforce.com")), SetupProblem::OrganizationsRequired(_)));
        assert!(matches!(problem(at("https://test.salesforce.com/")), SetupProblem::OrganizationsRequired(_)));
        let pinned = Settings { organizations: vec![person().0], ..at("https://login.salesforce.com") };
        Provider::new(pinned).unwrap();
    }

    #[test]
    fn a_wrong_address_is_named() {
        assert!(matches!(problem(at("http://acme.my.salesforce.com")), SetupProblem::OrgScheme));
        assert!(matches!(problem(at("ftp://acme.my.salesforce.com")), SetupProblem::OrgScheme));
        for shape in ["/?a=b", "/#a", "/.well-known/openid-configuration"] {
            let settings = at(&format!("https://acme.my.salesforce.com{shape}"));
            assert!(matches!(problem(settings), SetupProblem::OrgShape), "{shape}");
        }
        assert!(matches!(problem(at("https://a:b@acme.my.salesforce.com")), SetupProblem::OrgShape));
        for page in ["https://acme.lightning.force.com", "https://acme.my.salesforce-setup.com/lightning/setup"] {
            let SetupProblem::PageHost(instead) = problem(at(page)) else { panic!("{page} was accepted") };
            assert_eq!(instead, "https://acme.my.salesforce.com");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_at_the_start() {
        assert!(matches!(problem(Settings { client_id: String::new(), ..settings() }), SetupProblem::NoClientId));
        assert!(matches!(
            problem(Settings { scopes: vec!["profile".to_owned()], ..settings() }),
            SetupProblem::NoOpenId
        ));
        let skewed = Settings { clock_skew: Duration::from_secs(181), ..settings() };
        assert!(matches!(problem(skewed), SetupProblem::ClockSkew));
        for client in [ClientAuthentication::SecretPost, ClientAuthentication::SecretBasic] {
            let empty = Settings { client: client(Secret::new(String::new())), ..settings() };
            assert!(matches!(problem(empty), SetupProblem::EmptySecret));
        }
        let missing = Settings { ca: Some("/no/such/file".into()), ..settings() };
        assert!(matches!(problem(missing), SetupProblem::Client(_)));
    }

    #[test]
    fn the_private_key_is_tried_at_the_start() {
        let with = |key_pem: &str| Settings {
            client: ClientAuthentication::PrivateKeyJwt { key_pem: Secret::new(key_pem.to_owned()), key_id: None },
            ..settings()
        };
        Provider::new(with(&SIGNER.pem)).unwrap();
        for odd in ["", "no key", &SIGNER.pem[..200], &SIGNER.pem.replace('A', "B")] {
            assert!(matches!(problem(with(odd)), SetupProblem::PrivateKey), "{odd}");
        }
    }
}
