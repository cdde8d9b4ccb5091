//! What a service provider asks: an `AuthnRequest`, or the end of a session.
//!
//! Read from either binding (salesforce.md 6.2). "Verify Request Signatures" is a setting of the app: by redirect
//! the signature counts for the bytes of the query as they came, by post it is in the XML. Whatever is odd about a
//! request is shown at the org; the emulator is stricter than Salesforce so that the gateway's faults show early.
//! Called by `saml` and `logout`.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::DeflateDecoder;

use super::app::SamlApp;
use super::event::Event;
use crate::emulator::wire::{Form, Head};
use crate::identity::xmldsig::{
    ASSERTION, Certificate, Kind, MAX_SIZE, Node, PROTOCOL, Sha1, Trust, only, parse, text, verify, verify_detached,
};

/// A message in its wrapping.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) xml: String,
    pub(super) relay_state: Option<String>,
    signature: Signature,
}

/// How a letter is signed.
#[derive(Debug)]
enum Signature {
    /// In the query: the bytes that it covers, the algorithm, the value.
    Query { covered: String, algorithm: String, value: Vec<u8> },
    /// In the XML, if at all.
    Enveloped,
    /// Not, where it would be in the query.
    Missing,
}

impl Letter {
    /// Reads the parameter of that name from a query.
    pub(super) fn from_query(head: &Head, name: &str) -> Option<Self> {
        let packed = STANDARD.decode(head.query.get(name)?).ok()?;
        let limit = u64::try_from(MAX_SIZE).ok()?;
        let mut xml = String::new();
        DeflateDecoder::new(packed.as_slice()).take(limit).read_to_string(&mut xml).ok()?;
        let signature = match (head.query.get("SigAlg"), head.query.get("Signature")) {
            (Some(algorithm), Some(value)) => {
                let value = STANDARD.decode(value).ok()?;
                Signature::Query { covered: covered(&head.raw, name), algorithm: algorithm.to_owned(), value }
            }
            _ => Signature::Missing,
        };
        Some(Self { xml, relay_state: head.query.get("RelayState").map(str::to_owned), signature })
    }

    /// Reads the parameter of that name from a form.
    pub(super) fn from_form(form: &Form, name: &str) -> Option<Self> {
        let mut packed = form.get(name)?.to_owned();
        packed.retain(|character| !character.is_ascii_whitespace());
        let xml = String::from_utf8(STANDARD.decode(packed).ok()?).ok()?;
        let relay_state = form.get("RelayState").map(str::to_owned);
        Some(Self { xml, relay_state, signature: Signature::Enveloped })
    }

    /// Whether the app's certificate signed it; anything goes when the app does not verify.
    fn check_signature(&self, app: &SamlApp, root: Node<'_>) -> Result<(), Event> {
        let Some(pem) = &app.request_certificate else { return Ok(()) };
        let certificates = Certificate::from_pem(pem).map_err(|_| Event::InvalidSettings)?;
        let trust = Trust { certificates: &certificates, sha1: Sha1::Refused };
        let good = match &self.signature {
            Signature::Missing => false,
            Signature::Query { covered, algorithm, value } => {
                verify_detached(root, covered.as_bytes(), algorithm, value, &trust).is_ok()
            }
            Signature::Enveloped => matches!(verify(root, &trust), Ok(Some(_))),
        };
        if good { Ok(()) } else { Err(Event::InvalidSignature) }
    }
}

/// The bytes that a signed query signs, in the order of SAML bindings section 3.4.4.1, just as they came.
fn covered(raw: &str, name: &str) -> String {
    let pair = |name: &str| raw.split('&').find(|pair| pair.split_once('=').is_some_and(|(key, _)| key == name));
    [name, "RelayState", "SigAlg"].into_iter().filter_map(pair).collect::<Vec<_>>().join("&")
}

/// An `AuthnRequest`, checked.
#[derive(Clone, Debug)]
pub(super) struct AuthnRequest {
    pub(super) id: String,
    pub(super) force: Force,
}

/// `ForceAuthn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Force {
    /// A session at the org will do.
    No,
    /// It will not.
    Yes,
}

/// Reads an `AuthnRequest` that came to `endpoint`.
pub(super) fn read_authn_request(letter: &Letter, app: &SamlApp, endpoint: &str) -> Result<AuthnRequest, Event> {
    let tree = parse(&letter.xml, Kind::Message).map_err(|_| Event::InvalidAuthnRequest)?;
    let root = tree.root_element();
    let id = read_head(root, "AuthnRequest", app, endpoint)?;
    letter.check_signature(app, root)?;
    let fits = |name: &str, expected: &str| root.attribute(name).is_none_or(|value| value == expected);
    if !fits("AssertionConsumerServiceURL", &app.acs_url)
        || !fits("ProtocolBinding", super::app::Binding::Post.address())
        || root.has_attribute("AssertionConsumerServiceIndex")
    {
        return Err(Event::InvalidAuthnRequest);
    }
    let force = match root.attribute("ForceAuthn") {
        Some("true" | "1") => Force::Yes,
        _ => Force::No,
    };
    Ok(AuthnRequest { id: id.to_owned(), force })
}

/// A `LogoutRequest`, checked.
#[derive(Clone, Debug)]
pub(super) struct LogoutRequest {
    pub(super) id: String,
    pub(super) name_id: String,
}

/// Reads a `LogoutRequest` that came to `endpoint`.
pub(super) fn read_logout_request(letter: &Letter, app: &SamlApp, endpoint: &str) -> Result<LogoutRequest, Event> {
    let tree = parse(&letter.xml, Kind::Message).map_err(|_| Event::InvalidAuthnRequest)?;
    let root = tree.root_element();
    let id = read_head(root, "LogoutRequest", app, endpoint)?;
    letter.check_signature(app, root)?;
    let name_id = only(root, ASSERTION, "NameID").ok().flatten().and_then(|name| text(name).ok());
    let name_id = name_id.ok_or(Event::InvalidAuthnRequest)?.into_owned();
    Ok(LogoutRequest { id: id.to_owned(), name_id })
}

/// Reads a `LogoutResponse` that came to `endpoint`: whether it answers that request with a success.
pub(super) fn read_logout_response(letter: &Letter, app: &SamlApp, endpoint: &str) -> Result<Option<String>, Event> {
    let tree = parse(&letter.xml, Kind::Message).map_err(|_| Event::InvalidAuthnRequest)?;
    let root = tree.root_element();
    read_head(root, "LogoutResponse", app, endpoint)?;
    letter.check_signature(app, root)?;
    let status = only(root, PROTOCOL, "Status").ok().flatten();
    let code = status.and_then(|status| only(status, PROTOCOL, "StatusCode").ok().flatten());
    let success = code.and_then(|code| code.attribute("Value")) == Some(super::message::SUCCESS);
    Ok(root.attribute("InResponseTo").filter(|_| success).map(str::to_owned))
}

/// What every message must have: its id.
fn read_head<'a>(root: Node<'a>, name: &str, app: &SamlApp, endpoint: &str) -> Result<&'a str, Event> {
    let named = root.tag_name().name() == name && root.tag_name().namespace() == Some(PROTOCOL);
    if !named || root.attribute("Version") != Some("2.0") || root.attribute("IssueInstant").is_none() {
        return Err(Event::InvalidAuthnRequest);
    }
    let issuer = only(root, ASSERTION, "Issuer").ok().flatten().and_then(|issuer| text(issuer).ok());
    if app.entity_id.is_empty() || issuer.as_deref() != Some(app.entity_id.as_str()) {
        return Err(Event::InvalidServiceProvider);
    }
    if root.attribute("Destination").is_some_and(|destination| destination != endpoint) {
        return Err(Event::InvalidEndpoint);
    }
    // SAML core section 1.3.4: an XML name
    let id =
        root.attribute("ID").filter(|id| id.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic()));
    id.ok_or(Event::InvalidAuthnRequest)
}
