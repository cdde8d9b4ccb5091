//! Judges the answer that a browser brings back from Salesforce (SAML profiles section 4.1.4).
//!
//! From the outside in: what the text may cost, where its elements stand, what is signed, and only then what it says.
//! Elements are taken by their position; an assertion or a signature anywhere else ends it, because every known
//! signature wrapping needs a second one somewhere. Called by `login`.

use std::collections::HashSet;

use super::assertion::{self, Context, Facts, NameId};
use super::fault::shown;
use super::settings::{Settings, Unsolicited};
use super::{ENTITY, Fault, Reason, SUCCESS};
use crate::clock::Timestamp;
use crate::http::path::LocalPath;
use crate::identity::Identity;
use crate::identity::xmldsig::{
    self, ASSERTION, Kind, MAX_SIZE, Node, PROTOCOL, Verified, Within, elements, only, parse, text, verify,
};

/// The question that this browser was sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Its id.
    pub id: &'a str,
    /// When.
    pub at: Timestamp,
}

/// What an accepted answer says.
#[derive(Clone, Debug)]
pub struct Consumed {
    /// Who it is.
    pub identity: Identity,
    /// The assertion's id, which counts once: remember it, and refuse it when it is known.
    pub assertion_id: String,
    /// Until when it must be remembered; nobody accepts it any more then.
    pub remember_until: Timestamp,
    /// How the identity provider calls them, for signing out.
    pub name_id: NameId,
    /// Their session there, when single logout is on.
    pub session_index: Option<String>,
    /// When their session must end.
    pub session_not_on_or_after: Option<Timestamp>,
    /// Where to go, when nobody here asked (`RelayState`).
    pub return_to: Option<LocalPath>,
}

/// Judges an answer: the two fields of the form, the question of this very browser (none when its `RelayState` names
/// no attempt of this browser), and the address that it was posted to.
///
/// # Errors
/// [`Fault`] names the first check that failed; nobody is signed in then.
pub fn consume(
    response: &str,
    relay_state: Option<&str>,
    asked: Option<Asked<'_>>,
    acs_url: &str,
    now: Timestamp,
    settings: &Settings,
) -> Result<Consumed, Fault> {
    let message = unpack(response)?;
    let tree = parse(&message, Kind::Message)?;
    let root = tree.root_element();
    if !xmldsig::is(root, PROTOCOL, "Response") {
        return Err(Fault::new(Reason::Shape, format!("a {} in place of a Response", shown(root.tag_name().name()))));
    }
    let said = survey(root)?;
    version(root)?;
    status(root)?;
    if let Some(issuer) = only(root, ASSERTION, "Issuer")? {
        check_issuer(issuer, settings)?;
    }
    // Before any key is used: whoever was asked nothing gets no work out of us.
    answers(root, asked, settings)?;
    let context = Context { settings, acs_url, asked, now };
    let facts = match said {
        None => return Err(Fault::new(Reason::NoAssertion, "a Response without an Assertion")),
        Some(element) if xmldsig::is(element, ASSERTION, "EncryptedAssertion") => open(root, element, &context)?,
        Some(element) => {
            let whole = verify(root, &settings.trust())?;
            let own = verify(element, &settings.trust())?;
            let within = whole.and_then(|whole| whole.elements().find(|child| child.node() == element));
            assertion::read(own.or(within).ok_or_else(unsigned)?, &context)?
        }
    };
    // What the signature may not cover can still be wrong.
    context.issued(root.attribute("IssueInstant"))?;
    match root.attribute("Destination") {
        Some(destination) if destination == acs_url => {}
        // Without one, it could have been posted anywhere; the assertion's Recipient says the same, signed.
        None if only(root, xmldsig::DSIG, "Signature")?.is_none() => {}
        other => return Err(Fault::unlike(Reason::Destination, "Destination", other, acs_url)),
    }
    let return_to = match (asked, relay_state) {
        (Some(_), _) | (None, None | Some("")) => None,
        (None, Some(state)) => {
            let path = LocalPath::parse(state);
            Some(path.ok_or_else(|| Fault::new(Reason::RelayState, format!("RelayState is {}", shown(state))))?)
        }
    };
    let Facts { identity, assertion_id, remember_until, name_id, session_index, session_not_on_or_after } = facts;
    Ok(Consumed { identity, assertion_id, remember_until, name_id, session_index, session_not_on_or_after, return_to })
}

/// The text of a form's field.
pub(super) fn unpack(field: &str) -> Result<String, Fault> {
    // Base64 is a third longer, and wrapped.
    if field.len() > 2 * MAX_SIZE {
        return Err(Fault::new(Reason::TooMuch, format!("{} bytes", field.len())));
    }
    let bytes = xmldsig::decode(field).ok_or_else(|| Fault::new(Reason::Unreadable, "it is no base64"))?;
    String::from_utf8(bytes).map_err(|_| Fault::new(Reason::Unreadable, "it is no UTF-8"))
}

fn unsigned() -> Fault {
    Fault::new(Reason::Unsigned, "neither the Response nor the Assertion has a signature")
}

/// The assertion or encrypted assertion that is a child of `root`, when nothing stands where it must not.
pub(super) fn survey(root: Node<'_>) -> Result<Option<Node<'_>>, Fault> {
    let mut ids = HashSet::new();
    let mut found: Option<Node<'_>> = None;
    for node in root.descendants().filter(Node::is_element) {
        for attribute in node.attributes().filter(|attribute| attribute.name().eq_ignore_ascii_case("id")) {
            if !ids.insert(attribute.value()) {
                return Err(Fault::new(Reason::DuplicateId, shown(attribute.value())));
            }
        }
        let misplaced = || Fault::new(Reason::Shape, format!("a {} where none may be", node.tag_name().name()));
        let parent = node.parent();
        match node.tag_name().name() {
            "Assertion" | "EncryptedAssertion" => {
                if parent != Some(root) || node.tag_name().namespace() != Some(ASSERTION) {
                    return Err(misplaced());
                }
                if found.replace(node).is_some() {
                    return Err(Fault::new(Reason::SeveralAssertions, "more than one Assertion"));
                }
            }
            "Signature" => {
                let in_assertion = parent == found && found.is_some_and(|found| found.tag_name().name() == "Assertion");
                let real = node.tag_name().namespace() == Some(xmldsig::DSIG);
                if !real || (parent != Some(root) && !in_assertion) {
                    return Err(misplaced());
                }
            }
            "Response" if node != root => return Err(misplaced()),
            _ => {}
        }
    }
    Ok(found)
}

/// Opens an encrypted assertion and reads what is in it by the same rules.
fn open(root: Node<'_>, encrypted: Node<'_>, context: &Context<'_>) -> Result<Facts, Fault> {
    let trust = context.settings.trust();
    let whole = verify(root, &trust)?;
    let key = context.settings.key.as_ref();
    let key = key.ok_or_else(|| Fault::new(Reason::Encrypted, "an EncryptedAssertion, and no key"))?;
    let within = whole.and_then(|whole| whole.elements().find(|child| child.node() == encrypted));
    let opened = xmldsig::decrypt(within.map_or(Within::Unverified(encrypted), Within::Verified), &key.decryption)?;
    let tree = opened.parse().map_err(|_| xmldsig::Undecryptable)?;
    let inner = tree.root_element();
    let mut children = elements(inner);
    let (Some(element), None) = (children.next(), children.next()) else { return Err(xmldsig::Undecryptable.into()) };
    if survey(inner)? != Some(element) || !xmldsig::is(element, ASSERTION, "Assertion") {
        return Err(xmldsig::Undecryptable.into());
    }
    let own = verify(element, &trust)?;
    let element: Verified<'_> = own.or_else(|| opened.vouch(element)).ok_or_else(unsigned)?;
    assertion::read(element, context)
}

pub(super) fn version(message: Node<'_>) -> Result<(), Fault> {
    match message.attribute("Version") {
        Some("2.0") => Ok(()),
        other => Err(Fault::unlike(Reason::Shape, "Version", other, "2.0")),
    }
}

/// The status: not worth a signature, since all that it can do is to refuse.
fn status(root: Node<'_>) -> Result<(), Fault> {
    let missing = || Fault::new(Reason::Shape, "a Response without a Status");
    let status = only(root, PROTOCOL, "Status")?.ok_or_else(missing)?;
    let code = only(status, PROTOCOL, "StatusCode")?.ok_or_else(missing)?;
    let value = code.attribute("Value").ok_or_else(missing)?;
    if value == SUCCESS {
        return Ok(());
    }
    let mut detail = shown(value);
    if let Some(second) = only(code, PROTOCOL, "StatusCode")?.and_then(|second| second.attribute("Value")) {
        detail = format!("{detail}, {}", shown(second));
    }
    if let Some(message) = only(status, PROTOCOL, "StatusMessage")? {
        detail = format!("{detail}: {}", shown(&text(message)?));
    }
    Err(Fault::new(Reason::Refused, detail))
}

pub(super) fn check_issuer(issuer: Node<'_>, settings: &Settings) -> Result<(), Fault> {
    let format = issuer.attribute("Format");
    if format.is_some_and(|format| format != ENTITY) {
        return Err(Fault::unlike(Reason::Issuer, "the Issuer's Format", format, ENTITY));
    }
    let found = text(issuer)?;
    if found == settings.issuer {
        return Ok(());
    }
    Err(Fault::unlike(Reason::Issuer, "Issuer", Some(&found), &settings.issuer))
}

/// Whether it answers the question that this browser was sent with.
fn answers(root: Node<'_>, asked: Option<Asked<'_>>, settings: &Settings) -> Result<(), Fault> {
    match (asked, root.attribute("InResponseTo"), settings.unsolicited) {
        (Some(asked), Some(id), _) if asked.id == id => Ok(()),
        (Some(asked), other, _) => Err(Fault::unlike(Reason::InResponseTo, "InResponseTo", other, asked.id)),
        (None, Some(id), _) => Err(Fault::new(
            Reason::InResponseTo,
            format!("InResponseTo is {}, which this browser never asked", shown(id)),
        )),
        (None, None, Unsolicited::Accepted) => Ok(()),
        (None, None, Unsolicited::Refused) => Err(Fault::new(Reason::Unsolicited, "an answer to no question")),
    }
}
