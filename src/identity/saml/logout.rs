//! Signing out on both sides (SAML core section 3.7, SAML profiles section 4.4).
//!
//! A logout message ends somebody's session, so all of them are signed, ours and theirs; one that is not, or was
//! signed by somebody else, does nothing (gosaml2 GHSA-pcgw-qcv5-h8ch). In the Redirect binding the signature covers
//! the query, in the POST binding the document. Called by `login`.

use super::ask::{CannotSend, Message, Sending, attribute, content, head, issuer, send};
use super::assertion::NameId;
use super::consume::{check_issuer, survey, unpack, version};
use super::fault::shown;
use super::redirect::{BadQuery, Parameter, Query};
use super::settings::Settings;
use super::time::{read_time, write_time};
use super::{Fault, Reason, SUCCESS};
use crate::clock::Timestamp;
use crate::identity::xmldsig::{self, ASSERTION, Kind, PROTOCOL, Verified, only, parse, verify, verify_detached};
use std::time::Duration;

/// How old a logout message may be, and how long ours is good.
const LIFETIME: Duration = Duration::from_secs(300);
const RESPONDER: &str = "urn:oasis:names:tc:SAML:2.0:status:Responder";

/// How a logout message came.
#[derive(Clone, Copy, Debug)]
pub enum Arrived<'a> {
    /// In the query (without `?`), as it was received.
    Query(&'a str),
    /// In a form.
    Form {
        /// `SAMLRequest` or `SAMLResponse`.
        parameter: Parameter,
        /// Its value.
        message: &'a str,
        /// `RelayState`.
        relay_state: Option<&'a str>,
    },
}

/// A logout message of the identity provider that may be acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logout {
    /// It wants somebody signed out.
    Request {
        /// To be answered to.
        id: String,
        /// Whom.
        name_id: NameId,
        /// Which of their sessions; all when empty.
        session_indexes: Vec<String>,
        /// To be given back.
        relay_state: Option<String>,
    },
    /// It answers our own request.
    Response {
        /// Which.
        in_response_to: String,
        /// Whether it signed them out.
        outcome: Outcome,
        /// What we gave it.
        relay_state: Option<String>,
    },
}

/// How signing out went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody is signed in any more.
    SignedOut,
    /// Somebody may be.
    Failed,
}

/// Asks the identity provider to sign somebody out.
///
/// # Errors
/// [`CannotSend`], when there is no address or no key.
pub fn request(
    settings: &Settings,
    id: &str,
    name_id: &NameId,
    session_index: Option<&str>,
    relay_state: Option<&str>,
    now: Timestamp,
) -> Result<Sending, CannotSend> {
    let optional = |name: &str, value: Option<&str>| {
        value.map_or_else(String::new, |value| format!(" {name}=\"{}\"", attribute(value)))
    };
    let name = format!(
        "<saml:NameID Format=\"{}\"{}{}>{}</saml:NameID>",
        attribute(&name_id.format),
        optional("NameQualifier", name_id.name_qualifier.as_deref()),
        optional("SPNameQualifier", name_id.sp_name_qualifier.as_deref()),
        content(&name_id.value)
    );
    let index = session_index
        .map_or_else(String::new, |index| format!("<samlp:SessionIndex>{}</samlp:SessionIndex>", content(index)));
    let more = format!(" NotOnOrAfter=\"{}\"", write_time(now.after(LIFETIME)));
    dispatch(settings, Parameter::Request, "LogoutRequest", id, &more, &format!("{name}{index}"), relay_state, now)
}

/// Answers a logout request.
///
/// # Errors
/// [`CannotSend`], when there is no address or no key.
pub fn response(
    settings: &Settings,
    id: &str,
    in_response_to: &str,
    outcome: Outcome,
    relay_state: Option<&str>,
    now: Timestamp,
) -> Result<Sending, CannotSend> {
    let code = match outcome {
        Outcome::SignedOut => SUCCESS,
        Outcome::Failed => RESPONDER,
    };
    let status = format!("<samlp:Status><samlp:StatusCode Value=\"{code}\"/></samlp:Status>");
    let more = format!(" InResponseTo=\"{}\"", attribute(in_response_to));
    dispatch(settings, Parameter::Response, "LogoutResponse", id, &more, &status, relay_state, now)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one message, in its order")]
fn dispatch(
    settings: &Settings,
    parameter: Parameter,
    name: &str,
    id: &str,
    more: &str,
    inside: &str,
    relay_state: Option<&str>,
    now: Timestamp,
) -> Result<Sending, CannotSend> {
    let there = settings.sign_out.as_ref().ok_or(CannotSend::NoAddress)?;
    let key = settings.key.as_ref().ok_or(CannotSend::NoKey)?;
    let to = there.url.as_str();
    let xml =
        format!("<samlp:{name}{}{more}>{}{inside}</samlp:{name}>", head(id, to, now), issuer(&settings.entity_id));
    send(parameter, &Message { xml: &xml, id, key: Some(&key.signing) }, there.binding, to, relay_state)
}

/// Judges a logout message that came to `our_url`.
///
/// # Errors
/// [`Fault`] names the first check that failed; it is not acted on then.
pub fn receive(arrived: Arrived<'_>, our_url: &str, now: Timestamp, settings: &Settings) -> Result<Logout, Fault> {
    match arrived {
        Arrived::Query(query) => {
            let query = Query::read(query)?;
            let tree = parse(&query.xml, Kind::Message)?;
            let root = tree.root_element();
            if survey(root)?.is_some() || only(root, xmldsig::DSIG, "Signature")?.is_some() {
                return Err(Fault::new(Reason::Logout, "an assertion or an XML signature in a query"));
            }
            let signed = query.signed.as_ref().ok_or_else(unsigned)?;
            let (octets, trust) = (signed.octets.as_bytes(), settings.trust());
            let verified = verify_detached(root, octets, &signed.algorithm, &signed.signature, &trust)?;
            judge(verified, query.parameter, query.relay_state, our_url, now, settings)
        }
        Arrived::Form { parameter, message, relay_state } => {
            let message = unpack(message)?;
            let tree = parse(&message, Kind::Message)?;
            let root = tree.root_element();
            if survey(root)?.is_some() {
                return Err(Fault::new(Reason::Logout, "an assertion in a logout message"));
            }
            let verified = verify(root, &settings.trust())?.ok_or_else(unsigned)?;
            judge(verified, parameter, relay_state.map(str::to_owned), our_url, now, settings)
        }
    }
}

fn unsigned() -> Fault {
    Fault::new(Reason::Unsigned, "a logout message without a signature")
}

impl From<BadQuery> for Fault {
    fn from(problem: BadQuery) -> Self {
        let reason = if problem == BadQuery::Size { Reason::TooMuch } else { Reason::Unreadable };
        Self::new(reason, problem.to_string())
    }
}

fn judge(
    message: Verified<'_>,
    parameter: Parameter,
    relay_state: Option<String>,
    our_url: &str,
    now: Timestamp,
    settings: &Settings,
) -> Result<Logout, Fault> {
    let wanted = match parameter {
        Parameter::Request => "LogoutRequest",
        Parameter::Response => "LogoutResponse",
    };
    if !message.is(PROTOCOL, wanted) {
        return Err(Fault::new(Reason::Logout, format!("a {} in place of a {wanted}", shown(message.name()))));
    }
    version(message.node())?;
    let destination = message.attribute("Destination");
    if destination != Some(our_url) {
        return Err(Fault::unlike(Reason::Destination, "Destination", destination, our_url));
    }
    let issuer = message.only(ASSERTION, "Issuer")?;
    let issuer = issuer.ok_or_else(|| Fault::new(Reason::Issuer, "a logout message without an Issuer"))?;
    check_issuer(issuer.node(), settings)?;
    fresh(message, now, settings)?;
    let required = |name: &str| {
        let value = message.attribute(name).filter(|value| !value.is_empty()).map(str::to_owned);
        value.ok_or_else(|| Fault::new(Reason::Logout, format!("no {name}")))
    };
    if parameter == Parameter::Request {
        let indexes = message.elements().filter(|child| child.is(PROTOCOL, "SessionIndex"));
        let session_indexes: Result<Vec<_>, _> = indexes.map(|index| index.text().map(String::from)).collect();
        let name_id = NameId::read(message)?;
        return Ok(Logout::Request { id: required("ID")?, name_id, session_indexes: session_indexes?, relay_state });
    }
    let status = message.only(PROTOCOL, "Status")?;
    let code = status.map(|status| status.only(PROTOCOL, "StatusCode")).transpose()?.flatten();
    let value = code.and_then(|code| code.attribute("Value"));
    let value = value.ok_or_else(|| Fault::new(Reason::Logout, "a LogoutResponse without a StatusCode"))?;
    let outcome = if value == SUCCESS { Outcome::SignedOut } else { Outcome::Failed };
    Ok(Logout::Response { in_response_to: required("InResponseTo")?, outcome, relay_state })
}

/// Whether it was made just now: there is no other protection against an old one.
fn fresh(message: Verified<'_>, now: Timestamp, settings: &Settings) -> Result<(), Fault> {
    let time = |name: &str| {
        let read =
            |text: &str| read_time(text).ok_or_else(|| Fault::new(Reason::Times, format!("{name} {}", shown(text))));
        message.attribute(name).map(read).transpose()
    };
    let issued = time("IssueInstant")?.ok_or_else(|| Fault::new(Reason::Times, "no IssueInstant"))?;
    if now.after(settings.skew()) < issued {
        return Err(Fault::new(Reason::NotYet, "IssueInstant is in the future"));
    }
    let ends = time("NotOnOrAfter")?.unwrap_or(issued.after(LIFETIME)).min(issued.after(LIFETIME));
    if now >= ends.after(settings.skew()) {
        return Err(Fault::new(Reason::Expired, "the logout message is too old"));
    }
    Ok(())
}
