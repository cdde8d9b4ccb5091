//! The SAML half of the app's settings, in the terms of Salesforce's Setup pages.
//!
//! The defaults are an administrator's first try: subject "Username", format "unspecified", both Response and
//! Assertion signed, request signatures not verified, nothing encrypted, no single logout (salesforce.md 0 and 6).
//! Filled by tests and by `demo`; read by everything of `emulator::saml`.

use crate::emulator::people::Person;
use crate::identity::xmldsig::{Cipher, Lines};

/// "Web App Settings > Enable SAML".
#[derive(Clone, Debug)]
pub struct SamlApp {
    /// "Entity Id" of the service provider.
    pub entity_id: String,
    /// "ACS URL", the only address that a Response goes to.
    pub acs_url: String,
    /// The app's id, for a link that begins at the org (behaviour 30).
    pub id: String,
    /// The app's name in the API, for the same.
    pub api_name: String,
    /// "Subject Type".
    pub subject: Subject,
    /// "Name ID Format": a label only (salesforce.md 6.3).
    pub name_id_format: NameIdFormat,
    /// What is signed; `Both` since years, `Response` in older orgs.
    pub signed: Signed,
    /// How base64 in signatures is laid out.
    pub lines: Lines,
    /// "Verify Request Signatures": the service provider's certificate, in PEM.
    pub request_certificate: Option<String>,
    /// "Encrypt SAML Response": with which certificate, and how.
    pub encryption: Option<Encryption>,
    /// "Custom Attributes": the key and its formula.
    pub attributes: Vec<(String, Formula)>,
    /// "Enable Single Logout".
    pub single_logout: Option<SingleLogout>,
    /// Where the endpoints of the metadata are; the entity id stays with My Domain (behaviour 28).
    pub host: EndpointHost,
    /// Which certificate the identity provider uses.
    pub certificate: InUse,
}

impl Default for SamlApp {
    fn default() -> Self {
        Self {
            entity_id: String::new(),
            acs_url: String::new(),
            id: "0sp5g000000Prtc".to_owned(),
            api_name: "Portcullis".to_owned(),
            subject: Subject::Username,
            name_id_format: NameIdFormat::Unspecified,
            signed: Signed::Both,
            lines: Lines::Wrapped,
            request_certificate: None,
            encryption: None,
            attributes: Vec::new(),
            single_logout: None,
            host: EndpointHost::MyDomain,
            certificate: InUse::First,
        }
    }
}

/// "Subject Type" (salesforce.md 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The username, which may be changed.
    Username,
    /// What the administrator wrote into the user's record; not everybody has one.
    FederationId,
    /// The user's id, 15 characters.
    UserId,
}

impl Subject {
    /// What `NameID` says of that person, if it can say anything.
    pub(super) fn of(self, person: &Person) -> Option<&'static str> {
        match self {
            Self::Username => Some(person.username),
            Self::FederationId => person.federation_id,
            Self::UserId => Some(person.short_user()),
        }
    }
}

/// "Name ID Format".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameIdFormat {
    /// `urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified`
    Unspecified,
    /// `urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress`
    EmailAddress,
    /// `urn:oasis:names:tc:SAML:2.0:nameid-format:persistent`
    Persistent,
    /// `urn:oasis:names:tc:SAML:2.0:nameid-format:transient`
    Transient,
}

impl NameIdFormat {
    /// As messages spell it.
    pub fn address(self) -> &'static str {
        match self {
            Self::Unspecified => "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
            Self::EmailAddress => "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
            Self::Persistent => "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
            Self::Transient => "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
        }
    }
}

/// What is signed (behaviour 29).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// The Assertion, and then the Response around it.
    Both,
    /// The Response alone.
    Response,
    /// The Assertion alone.
    Assertion,
}

impl Signed {
    pub(super) fn response(self) -> bool {
        self != Self::Assertion
    }

    pub(super) fn assertion(self) -> bool {
        self != Self::Response
    }
}

/// "Encrypt SAML Response".
#[derive(Clone, Debug)]
pub struct Encryption {
    /// The service provider's certificate, in PEM.
    pub certificate: String,
    /// The block encryption algorithm.
    pub cipher: Cipher,
}

/// What a custom attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Formula {
    /// The same for everybody, as `'agent'` is; several values with several texts.
    Text(Vec<String>),
    /// `$Organization.Id`, 15 characters.
    OrganizationId,
    /// What the person does here, a value each.
    Roles,
    /// `$User.UserType`.
    UserType,
    /// First and last name.
    Name,
}

impl Formula {
    /// The values for that person.
    pub(super) fn of(&self, person: &Person) -> Vec<String> {
        match self {
            Self::Text(values) => values.clone(),
            Self::OrganizationId => vec![person.short_organization().to_owned()],
            Self::Roles => person.roles.iter().map(|role| (*role).to_owned()).collect(),
            Self::UserType => vec![person.user_type.to_owned()],
            Self::Name => vec![person.name()],
        }
    }
}

/// "Enable Single Logout" (salesforce.md 6.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleLogout {
    /// "Single Logout URL" of the service provider.
    pub url: String,
    /// "Single Logout Binding": how the org sends.
    pub binding: Binding,
}

/// How a message travels through a browser (SAML bindings, sections 3.4 and 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Deflated, in the address.
    Redirect,
    /// In a form that posts itself.
    Post,
}

impl Binding {
    /// As metadata spells it.
    pub fn address(self) -> &'static str {
        match self {
            Self::Redirect => "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect",
            Self::Post => "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST",
        }
    }
}

/// Where the app's endpoints are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointHost {
    /// At My Domain.
    MyDomain,
    /// At the Experience Cloud site: another host than the entity id names (behaviour 28).
    Site,
}

/// Which of the org's certificates is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// The one from the start.
    First,
    /// The one that the administrator exchanged it for, which breaks whoever pinned the first (salesforce.md 6.8).
    Renewed,
}
