//! The question that a browser carries to Salesforce (SAML core section 3.4.1), and how any message of ours is sent.
//!
//! Called by `login` and `logout`.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::redirect::{self, Parameter};
use super::settings::{Binding, Reauthentication, Requests, Settings};
use super::time::write_time;
use crate::clock::Timestamp;
use crate::identity::xmldsig::{
    self, ASSERTION, CannotSign, PROTOCOL, Shape, SigningKey, escape_attribute, escape_text,
};
use crate::secret::{NoRandomness, random_token};

const POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";

/// Why a message cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum CannotSend {
    /// It must be signed, and there is no key.
    #[error("there is no key to sign with")]
    NoKey,
    /// There is nowhere to send it.
    #[error("the identity provider has no address for signing out")]
    NoAddress,
    /// The key did not sign.
    #[error("the message could not be signed")]
    Signing,
    /// The message could not be signed in its form.
    #[error(transparent)]
    CannotSign(#[from] CannotSign),
}

/// How a browser is to carry a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sending {
    /// By a redirect to this address.
    Redirect(String),
    /// By a form that sends itself.
    Post {
        /// Where it goes.
        action: String,
        /// Its hidden fields.
        fields: Vec<(&'static str, String)>,
    },
}

/// A fresh id for a message: an XML name with 256 random bits (SAML core section 1.3.4).
///
/// # Errors
/// [`NoRandomness`], when the system's source fails.
pub fn new_id() -> Result<String, NoRandomness> {
    Ok(format!("_{}", random_token()?))
}

/// The question who somebody is, to be answered to `acs_url`. `id` comes back in the answer, `relay_state` beside it.
///
/// # Errors
/// [`CannotSend`], when it must be signed and cannot be.
pub fn ask(
    settings: &Settings,
    id: &str,
    acs_url: &str,
    relay_state: &str,
    now: Timestamp,
) -> Result<Sending, CannotSend> {
    let again = match settings.reauthentication {
        Reauthentication::Unneeded => "",
        Reauthentication::Required => " ForceAuthn=\"true\"",
    };
    let xml = format!(
        "<samlp:AuthnRequest{}{again} ProtocolBinding=\"{POST}\" AssertionConsumerServiceURL=\"{}\">{}</samlp:AuthnRequest>",
        head(id, settings.sso_url.as_str(), now),
        attribute(acs_url),
        issuer(&settings.entity_id),
    );
    let key = match settings.requests {
        Requests::Unsigned => None,
        Requests::Signed => Some(&settings.key.as_ref().ok_or(CannotSend::NoKey)?.signing),
    };
    send(
        Parameter::Request,
        &Message { xml: &xml, id, key },
        settings.binding,
        settings.sso_url.as_str(),
        Some(relay_state),
    )
}

/// A message of ours, before it is put into a form or an address.
pub(super) struct Message<'m> {
    pub(super) xml: &'m str,
    pub(super) id: &'m str,
    pub(super) key: Option<&'m SigningKey>,
}

/// Puts a message into a form or an address; it is signed when it comes with a key.
pub(super) fn send(
    parameter: Parameter,
    message: &Message<'_>,
    binding: Binding,
    to: &str,
    relay_state: Option<&str>,
) -> Result<Sending, CannotSend> {
    match binding {
        Binding::Redirect => {
            let query = redirect::write(parameter, message.xml, relay_state, message.key).ok_or(CannotSend::Signing)?;
            let joint = if to.contains('?') { '&' } else { '?' };
            Ok(Sending::Redirect(format!("{to}{joint}{query}")))
        }
        Binding::Post => {
            let signed = match message.key {
                Some(key) => &xmldsig::sign_enveloped(message.xml, message.id, key, &Shape::default())?,
                None => message.xml,
            };
            let state = relay_state.map(|state| ("RelayState", state.to_owned()));
            let fields = [(parameter.name(), STANDARD.encode(signed))].into_iter().chain(state).collect();
            Ok(Sending::Post { action: to.to_owned(), fields })
        }
    }
}

/// The attributes that every message of ours has.
pub(super) fn head(id: &str, destination: &str, now: Timestamp) -> String {
    format!(
        " xmlns:samlp=\"{PROTOCOL}\" xmlns:saml=\"{ASSERTION}\" ID=\"{}\" Version=\"2.0\" IssueInstant=\"{}\" \
         Destination=\"{}\"",
        attribute(id),
        write_time(now),
        attribute(destination)
    )
}

pub(super) fn issuer(entity_id: &str) -> String {
    format!("<saml:Issuer>{}</saml:Issuer>", content(entity_id))
}

/// Text for an attribute.
pub(super) fn attribute(text: &str) -> String {
    let mut out = String::new();
    escape_attribute(text, &mut out);
    out
}

/// Text for an element.
pub(super) fn content(text: &str) -> String {
    let mut out = String::new();
    escape_text(text, &mut out);
    out
}
