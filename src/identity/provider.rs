//! The providers that there can be, and what the configuration says of each.
//!
//! Browsers come back to addresses of ours that are a provider's own where there are several of its protocol: an
//! answer is then taken for the answer of the provider whose address it came to and of no other. That is RFC 9700's
//! defence against mix-up (section 4.4.2) for providers that do not name themselves in their answers (RFC 9207), as
//! Salesforce does not. Called by `config`, `login`, `gateway` and `cli check`.

use super::saml::setup::{Place, Source};
use super::{Begun, Fault, OrgId, ProviderName, oidc, saml};
use crate::clock::Timestamp;
use crate::http::path::LocalPath;

/// One `[provider.NAME]`: how people and browsers come to it, and what it says.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What people read where they choose.
    pub title: String,
    /// What our own addresses for it are called.
    pub addresses: Addresses,
    /// The rest.
    pub settings: Settings,
}

/// As whom somebody is to sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Account {
    /// As whomever the provider knows the browser for.
    #[default]
    Any,
    /// As somebody else, so the provider has to ask whatever it knows.
    Another,
}

/// What our own addresses for a provider are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// As if there were no other of its protocol: `/callback`, `/saml/acs`.
    Short,
    /// With its name at the end: `/callback/NAME`, `/saml/acs/NAME`.
    Named,
}

/// Our own addresses for one provider, without the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Where its answers come to.
    pub answer: String,
    /// Where its logout messages come to, by SAML.
    pub logout: Option<String>,
    /// Where our metadata for it is, by SAML; also our entity id.
    pub metadata: Option<String>,
}

impl Entry {
    /// Our own addresses for it.
    pub fn paths(&self) -> Paths {
        let path = |end: &str| self.addresses.path(end, self.settings.name());
        match &self.settings {
            Settings::Oidc(_) => Paths { answer: path("/callback"), logout: None, metadata: None },
            Settings::Saml(_) => Paths {
                answer: path("/saml/acs"),
                logout: Some(path("/saml/logout")),
                metadata: Some(path(saml::OUR_METADATA)),
            },
        }
    }
}

impl Addresses {
    /// The address that ends in `end`, for the provider of that name.
    pub fn path(self, end: &str, name: &ProviderName) -> String {
        match self {
            Self::Short => end.to_owned(),
            Self::Named => format!("{end}/{name}"),
        }
    }
}

/// An identity provider: a closed set, so that `match` lists the places a new kind touches.
pub enum Provider {
    /// OpenID Connect.
    Oidc(Box<oidc::Provider>),
    /// SAML.
    Saml(Box<saml::Provider>),
}

/// What `[provider.NAME]` says, by protocol.
#[derive(Clone, Debug)]
pub enum Settings {
    /// OpenID Connect.
    Oidc(Box<oidc::Settings>),
    /// SAML.
    Saml(Box<saml::setup::Setup>),
}

impl Settings {
    /// The table's name.
    pub fn name(&self) -> &ProviderName {
        match self {
            Self::Oidc(settings) => &settings.name,
            Self::Saml(setup) => &setup.name,
        }
    }

    /// Where it is, as far as people care: host and path of its address, when that is known.
    pub fn place(&self) -> Option<String> {
        let address = match self {
            Self::Oidc(settings) => settings.org.clone(),
            Self::Saml(setup) => match &setup.source {
                Source::Pinned { issuer, .. } | Source::Metadata { issuer: Some(issuer), .. } => {
                    url::Url::parse(issuer).ok()?
                }
                Source::Metadata { place: Place::Address(url), issuer: None } => url.join("/").ok()?,
                Source::Metadata { place: Place::File(_), issuer: None } => return None,
            },
        };
        let host = address.host_str()?;
        Some(format!("{host}{}", address.path().trim_end_matches('/')))
    }

    /// Whose users may sign in; empty means those of whom the provider itself speaks for.
    pub fn organizations(&self) -> &[OrgId] {
        match self {
            Self::Oidc(settings) => &settings.organizations,
            Self::Saml(setup) => &setup.organizations,
        }
    }

    /// Which kinds of users may sign in.
    pub fn user_types(&self) -> &oidc::UserTypes {
        match self {
            Self::Oidc(settings) => &settings.user_types,
            Self::Saml(setup) => &setup.user_types,
        }
    }
}

/// Why a provider cannot be made of its settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupProblem {
    /// OpenID Connect.
    #[error(transparent)]
    Oidc(#[from] oidc::SetupProblem),
    /// SAML.
    #[error(transparent)]
    Saml(#[from] saml::provider::Unusable),
}

impl Provider {
    /// Checks the settings; speaks to nobody yet.
    ///
    /// # Errors
    /// [`SetupProblem`] says what to change.
    pub fn new(settings: Settings) -> Result<Self, SetupProblem> {
        Ok(match settings {
            Settings::Oidc(settings) => Self::Oidc(Box::new(oidc::Provider::new(*settings)?)),
            Settings::Saml(setup) => Self::Saml(Box::new(saml::Provider::new(*setup)?)),
        })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &ProviderName {
        match self {
            Self::Oidc(provider) => provider.name(),
            Self::Saml(provider) => provider.name(),
        }
    }

    /// Has ready what a sign-in needs of it: readiness asks this, and then from time to time.
    ///
    /// # Errors
    /// When that cannot be had or is not to be trusted.
    pub async fn warm(&self, now: Timestamp) -> Result<(), Fault> {
        match self {
            Self::Oidc(provider) => provider.warm().await,
            Self::Saml(provider) => provider.warm(now).await,
        }
    }

    /// Starts an attempt for a browser at `origin` (scheme and authority, no trailing slash) whose answer
    /// comes back to `callback` (absolute).
    ///
    /// # Errors
    /// When the provider's discovery cannot be had or is not to be trusted.
    pub async fn begin(
        &self,
        origin: &str,
        callback: &str,
        return_to: LocalPath,
        account: Account,
        now: Timestamp,
    ) -> Result<Begun, Fault> {
        match self {
            Self::Oidc(provider) => provider.begin(origin, callback, return_to, account, now).await,
            Self::Saml(provider) => provider.begin(origin, callback, return_to, account, now).await,
        }
    }
}
