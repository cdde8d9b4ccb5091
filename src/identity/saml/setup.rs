//! What a `[provider.NAME]` of `protocol = "saml"` says, and what follows from it once the provider is known.
//!
//! Filled by `config`; read by `provider`, which asks it for the settings that messages are judged by.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::metadata::Metadata;
use super::{Binding, Organization, OurKey, Reauthentication, Requests, Settings, SignOut, Unsolicited};
use crate::identity::oidc::UserTypes;
use crate::identity::xmldsig::{Certificate, Sha1};
use crate::identity::{OrgId, ProviderName};

/// What a `[provider.NAME]` of `protocol = "saml"` says.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The table's name.
    pub name: ProviderName,
    /// Our own entity id.
    pub entity_id: String,
    /// Where trust comes from.
    pub source: Source,
    /// How messages travel.
    pub binding: Binding,
    /// Our own key.
    pub key: Option<Arc<OurKey>>,
    /// Whether questions are signed.
    pub requests: Requests,
    /// Whether people must authenticate anew.
    pub reauthentication: Reauthentication,
    /// Whether people may come in from a link in Salesforce.
    pub unsolicited: Unsolicited,
    /// Whose users they are.
    pub organization: Organization,
    /// Which of those that an attribute names may sign in; empty means each, as where there is no attribute.
    pub organizations: Vec<OrgId>,
    /// Which kinds of users may sign in.
    pub user_types: UserTypes,
    /// How far Salesforce's clock and ours may differ.
    pub clock_skew: Duration,
    /// Whether SHA-1 is believed.
    pub sha1: Sha1,
    /// For fetching metadata, from connecting to the last byte.
    pub timeout: Duration,
    /// Certificates (PEM) to trust beside the system's when fetching metadata.
    pub ca: Option<PathBuf>,
}

/// Where trust comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From the configuration itself.
    Pinned {
        /// The identity provider's entity id.
        issuer: String,
        /// Where people sign in.
        sso_url: Url,
        /// Where they sign out, when single logout is on.
        slo_url: Option<Url>,
        /// Whose signatures are believed.
        certificates: Vec<Certificate>,
    },
    /// From metadata.
    Metadata {
        /// Where it is.
        place: Place,
        /// Whose it must be; otherwise whoever it is the first time.
        issuer: Option<String>,
    },
}

/// Where metadata is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this machine.
    File(PathBuf),
    /// At an https address.
    Address(Url),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Address(url) => url.fmt(f),
        }
    }
}

impl Setup {
    pub(super) fn settings(
        &self,
        issuer: String,
        (sso_url, binding): (Url, Binding),
        sign_out: Option<SignOut>,
        certificates: Vec<Certificate>,
        requests: Requests,
    ) -> Settings {
        Settings {
            name: self.name.clone(),
            issuer,
            sso_url,
            binding,
            sign_out,
            certificates,
            entity_id: self.entity_id.clone(),
            key: self.key.clone(),
            requests,
            reauthentication: self.reauthentication,
            unsolicited: self.unsolicited,
            organization: self.organization.clone(),
            clock_skew: self.clock_skew,
            sha1: self.sha1,
        }
    }

    /// With the addresses of our binding where the provider has them, and with its own otherwise.
    pub(super) fn settings_of(&self, metadata: Metadata) -> Option<Settings> {
        let ours = |binding: &Binding| *binding == self.binding;
        let at = metadata.sign_in.iter().find(|(binding, _)| ours(binding)).or(metadata.sign_in.first());
        let (binding, sso_url) = at.cloned()?;
        let there = metadata.sign_out.iter().find(|there| ours(&there.binding)).or(metadata.sign_out.first()).cloned();
        // Without a key nobody can be signed out there, and nothing can be signed that it would like signed.
        let there = there.filter(|_| self.key.is_some());
        let requests =
            if self.key.is_some() && metadata.requests == Requests::Signed { Requests::Signed } else { self.requests };
        Some(self.settings(metadata.entity_id, (sso_url, binding), there, metadata.certificates, requests))
    }
}
