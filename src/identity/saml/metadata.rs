//! What each side tells the other about itself (SAML metadata).
//!
//! Ours is for the administrator to upload. Theirs comes from a file or an address that the operator configured, and
//! is believed for that reason alone: its keys are used like configured certificates, so it must come over TLS or from
//! the disk, never in a message. Salesforce offers POST before Redirect, and no logout unless that is switched on
//! (salesforce.md 6.1). Called by `config`, `login` and `cli check`.

use url::Url;

use super::ask::attribute;
use super::settings::{Binding, Requests, Settings, SignOut, is_safe};
use super::time::read_time;
use crate::clock::Timestamp;
use crate::identity::xmldsig::{
    self, BadCertificate, Certificate, DSIG, Kind, Node, NotXml, Oddity, PROTOCOL, elements, is, only, parse, text,
};

const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
const REDIRECT: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
const POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";

/// Why metadata cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMetadata {
    /// It is no XML.
    #[error("it is no metadata: {0}")]
    NotXml(#[from] NotXml),
    /// It is put together in another way.
    #[error("it is no metadata of one identity provider: {0}")]
    Shape(&'static str),
    /// Something is there twice.
    #[error(transparent)]
    Oddity(#[from] Oddity),
    /// A certificate.
    #[error("a certificate in it cannot be used: {0}")]
    Certificate(#[from] BadCertificate),
    /// An address that people would be sent to.
    #[error("the address {0:?} in it does not begin with https://")]
    Address(String),
}

/// What an identity provider says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Its entity id.
    pub entity_id: String,
    /// Its certificates for signing.
    pub certificates: Vec<Certificate>,
    /// Where people sign in, by each binding that we speak, in its order.
    pub sign_in: Vec<(Binding, Url)>,
    /// Where people sign out, likewise.
    pub sign_out: Vec<SignOut>,
    /// Whether it wants questions to be signed.
    pub requests: Requests,
    /// Until when it may be believed.
    pub valid_until: Option<Timestamp>,
}

impl Metadata {
    /// Reads the metadata of one identity provider.
    ///
    /// # Errors
    /// [`BadMetadata`] says what is wrong with it.
    pub fn read(document: &str) -> Result<Self, BadMetadata> {
        let tree = parse(document, Kind::Metadata)?;
        let entity = tree.root_element();
        if !is(entity, METADATA, "EntityDescriptor") {
            return Err(BadMetadata::Shape("its outermost element is no EntityDescriptor"));
        }
        let entity_id = entity.attribute("entityID").filter(|id| !id.is_empty());
        let provider = only(entity, METADATA, "IDPSSODescriptor")?;
        let provider = provider.ok_or(BadMetadata::Shape("it has no IDPSSODescriptor"))?;
        let mut certificates = Vec::new();
        for key in children(provider, "KeyDescriptor") {
            if !matches!(key.attribute("use"), Some("encryption")) {
                certificates.extend(certificates_of(key)?);
            }
        }
        if certificates.is_empty() {
            return Err(BadMetadata::Shape("it has no certificate for signing"));
        }
        let sign_in = services(provider, "SingleSignOnService")?;
        if sign_in.is_empty() {
            return Err(BadMetadata::Shape("it has no SingleSignOnService by HTTP-Redirect or HTTP-POST"));
        }
        let sign_out = services(provider, "SingleLogoutService")?;
        let until = [entity, provider].into_iter().filter_map(|node| node.attribute("validUntil"));
        let until: Option<Vec<_>> = until.map(read_time).collect();
        let until = until.ok_or(BadMetadata::Shape("its validUntil is no time in UTC"))?;
        Ok(Self {
            entity_id: entity_id.ok_or(BadMetadata::Shape("it has no entityID"))?.to_owned(),
            certificates,
            sign_in,
            sign_out: sign_out.into_iter().map(|(binding, url)| SignOut { url, binding }).collect(),
            requests: match provider.attribute("WantAuthnRequestsSigned") {
                Some("true" | "1") => Requests::Signed,
                _ => Requests::Unsigned,
            },
            valid_until: until.into_iter().min(),
        })
    }
}

fn children<'a>(node: Node<'a>, name: &'static str) -> impl Iterator<Item = Node<'a>> {
    elements(node).filter(move |child| is(*child, METADATA, name))
}

fn certificates_of(key: Node<'_>) -> Result<Vec<Certificate>, BadMetadata> {
    let mut found = Vec::new();
    let Some(info) = only(key, DSIG, "KeyInfo")? else { return Ok(found) };
    for data in elements(info).filter(|child| is(*child, DSIG, "X509Data")) {
        for certificate in elements(data).filter(|child| is(*child, DSIG, "X509Certificate")) {
            let der = xmldsig::decode(&text(certificate)?).ok_or(BadCertificate::Unreadable)?;
            found.push(Certificate::from_der(&der)?);
        }
    }
    Ok(found)
}

/// The addresses of a service, in the bindings that we speak.
fn services(provider: Node<'_>, name: &'static str) -> Result<Vec<(Binding, Url)>, BadMetadata> {
    let mut found = Vec::new();
    for service in children(provider, name) {
        let binding = match service.attribute("Binding") {
            Some(REDIRECT) => Binding::Redirect,
            Some(POST) => Binding::Post,
            _ => continue,
        };
        let address = service.attribute("Location").unwrap_or_default();
        let url = Url::parse(address).ok().filter(is_safe);
        found.push((binding, url.ok_or_else(|| BadMetadata::Address(address.chars().take(200).collect()))?));
    }
    Ok(found)
}

/// Our own metadata: the addresses to which answers may be posted, one for each origin, and where logout messages go.
pub fn write(settings: &Settings, acs_urls: &[String], logout_urls: &[String]) -> String {
    let keys = settings.key.as_ref().map_or_else(String::new, |key| {
        let certificate = xmldsig::encode(key.certificate.der());
        let key = |purpose: &str| {
            format!(
                "<md:KeyDescriptor use=\"{purpose}\"><ds:KeyInfo xmlns:ds=\"{DSIG}\"><ds:X509Data><ds:X509Certificate>\
                 {certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
            )
        };
        key("signing") + &key("encryption")
    });
    let logout = settings.sign_out.as_ref().map_or_else(String::new, |_| {
        let both = logout_urls.iter().flat_map(|url| [(POST, url), (REDIRECT, url)]);
        let service = |(binding, url): (&str, &String)| {
            format!("<md:SingleLogoutService Binding=\"{binding}\" Location=\"{}\"/>", attribute(url))
        };
        both.map(service).collect()
    });
    let consumers: String = acs_urls
        .iter()
        .enumerate()
        .map(|(index, url)| {
            let default = if index == 0 { " isDefault=\"true\"" } else { "" };
            let url = attribute(url);
            format!("<md:AssertionConsumerService Binding=\"{POST}\" Location=\"{url}\" index=\"{index}\"{default}/>")
        })
        .collect();
    let signed = settings.requests == Requests::Signed;
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<md:EntityDescriptor xmlns:md=\"{METADATA}\" entityID=\"{}\">\
         <md:SPSSODescriptor AuthnRequestsSigned=\"{signed}\" WantAssertionsSigned=\"true\" \
         protocolSupportEnumeration=\"{PROTOCOL}\">{keys}{logout}\
         <md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified</md:NameIDFormat>{consumers}\
         </md:SPSSODescriptor></md:EntityDescriptor>\n",
        attribute(&settings.entity_id)
    )
}
