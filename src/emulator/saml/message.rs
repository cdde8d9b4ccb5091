//! What the org tells a service provider, as facts first and then as text.
//!
//! The text is Salesforce's own shape (behaviour 29, salesforce.md 6.4), attribute by attribute. Facts are apart
//! from it so that a mischief changes one of them before anything is signed. Used by `saml`, `spoil` and `tamper`.

use time::OffsetDateTime;
use time::macros::format_description;

use super::app::SamlApp;
use super::event::Event;
use crate::clock::Timestamp;
use crate::emulator::people::Person;
use crate::identity::xmldsig::{ASSERTION, PROTOCOL, escape_attribute, escape_text};
use crate::secret::{self, NoRandomness};

pub(super) const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
pub(super) const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const ENTITY: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity";
/// Behaviour 29: a Response lives for five minutes, and began half a minute ago.
const LIFE: i64 = 300;
const HEAD_START: i64 = 30;

/// A moment with milliseconds, as messages have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    milliseconds: i64,
}

impl Moment {
    pub(super) fn at(now: Timestamp, fraction: u16) -> Self {
        let seconds = i64::try_from(now.0).unwrap_or_default();
        Self { milliseconds: seconds.saturating_mul(1000).saturating_add(i64::from(fraction % 1000)) }
    }

    #[must_use]
    pub(super) fn plus(self, seconds: i64) -> Self {
        Self { milliseconds: self.milliseconds.saturating_add(seconds.saturating_mul(1000)) }
    }

    pub(super) fn text(self) -> String {
        let shape = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.milliseconds) * 1_000_000);
        moment.ok().and_then(|moment| moment.format(&shape).ok()).unwrap_or_default()
    }
}

/// Behaviour 29: an underscore, 32 hex digits, and the 13 digits of the moment.
pub(super) fn fresh_id(now: Moment) -> Result<String, NoRandomness> {
    let random = u128::from_be_bytes(secret::random::<16>()?);
    Ok(format!("_{random:032x}{:013}", now.milliseconds))
}

/// A moment within this second.
pub(super) fn moment(now: Timestamp) -> Result<Moment, NoRandomness> {
    Ok(Moment::at(now, u16::from_be_bytes(secret::random::<2>()?)))
}

/// What an assertion says.
#[derive(Clone, Debug)]
pub(super) struct Assertion {
    pub(super) id: String,
    pub(super) issued: Moment,
    pub(super) version: &'static str,
    pub(super) issuer: Option<String>,
    pub(super) name_id: Option<String>,
    pub(super) name_id_format: &'static str,
    pub(super) confirmation: Option<Confirmation>,
    pub(super) not_before: Option<Moment>,
    pub(super) not_on_or_after: Option<Moment>,
    pub(super) audiences: Vec<String>,
    /// More text among the conditions.
    pub(super) condition: &'static str,
    pub(super) authenticated: Option<Moment>,
    pub(super) session_index: Option<String>,
    pub(super) attributes: Vec<(String, Vec<String>)>,
}

/// Who may bring an assertion where.
#[derive(Clone, Debug)]
pub(super) struct Confirmation {
    pub(super) method: &'static str,
    pub(super) in_response_to: Option<String>,
    pub(super) recipient: Option<String>,
    pub(super) until: Option<Moment>,
}

/// What a Response says around its assertions.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) issued: Moment,
    pub(super) destination: Option<String>,
    pub(super) in_response_to: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) status: &'static str,
    pub(super) assertion: Assertion,
    pub(super) carries: Carries,
}

/// Which assertions a Response carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    One,
    /// The same twice, under two ids.
    Two,
    Nothing,
}

/// The facts of a sign-in as they are.
pub(super) fn truth(
    app: &SamlApp,
    person: &Person,
    issuer: &str,
    request: Option<&str>,
    now: Moment,
) -> Result<Message, Event> {
    let id = || fresh_id(now).map_err(|_| Event::Internal);
    let name_id = app.subject.of(person).ok_or(Event::NoFederationId)?;
    let session_index = app.single_logout.as_ref().map(|_| id()).transpose()?;
    let until = Some(now.plus(LIFE));
    Ok(Message {
        id: id()?,
        issued: now,
        destination: Some(app.acs_url.clone()),
        in_response_to: request.map(str::to_owned),
        issuer: Some(issuer.to_owned()),
        status: SUCCESS,
        assertion: Assertion {
            id: id()?,
            issued: now,
            version: "2.0",
            issuer: Some(issuer.to_owned()),
            name_id: Some(name_id.to_owned()),
            name_id_format: app.name_id_format.address(),
            confirmation: Some(Confirmation {
                method: BEARER,
                in_response_to: request.map(str::to_owned),
                recipient: Some(app.acs_url.clone()),
                until,
            }),
            not_before: Some(now.plus(-HEAD_START)),
            not_on_or_after: until,
            audiences: vec![app.entity_id.clone()],
            condition: "",
            authenticated: Some(now),
            session_index,
            attributes: attributes(app, person),
        },
        carries: Carries::One,
    })
}

/// Behaviour 29: the four that are always there, the id in 15 characters, then the administrator's own.
pub(super) fn attributes(app: &SamlApp, person: &Person) -> Vec<(String, Vec<String>)> {
    let portal = person.user_type != "STANDARD";
    let mut all: Vec<(String, Vec<String>)> = [
        ("userId", person.short_user()),
        ("username", person.username),
        ("email", person.email),
        ("is_portal_user", if portal { "true" } else { "false" }),
    ]
    .map(|(name, value)| (name.to_owned(), vec![value.to_owned()]))
    .to_vec();
    all.extend(app.attributes.iter().map(|(name, formula)| (name.clone(), formula.of(person))));
    all
}

/// A Response around the text of its assertions.
pub(super) fn write_response(message: &Message, assertions: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><samlp:Response xmlns:samlp=\"{PROTOCOL}\"{}{}{}{} Version=\"2.0\">\
         {}<samlp:Status><samlp:StatusCode Value=\"{}\"/></samlp:Status>{assertions}</samlp:Response>",
        attribute("Destination", message.destination.as_deref()),
        attribute("ID", Some(&message.id)),
        attribute("InResponseTo", message.in_response_to.as_deref()),
        attribute("IssueInstant", Some(&message.issued.text())),
        issuer(message.issuer.as_deref(), &format!(" xmlns:saml=\"{ASSERTION}\"")),
        message.status,
    )
}

/// An assertion, without its signature.
pub(super) fn write_assertion(facts: &Assertion) -> String {
    let moment = |name: &str, moment: Option<Moment>| attribute(name, moment.map(Moment::text).as_deref());
    let audiences: String = facts.audiences.iter().map(|audience| element("saml:Audience", "", audience)).collect();
    let audiences = match audiences.as_str() {
        "" => String::new(),
        some => format!("<saml:AudienceRestriction>{some}</saml:AudienceRestriction>"),
    };
    format!(
        "<saml:Assertion xmlns:saml=\"{ASSERTION}\"{}{} Version=\"{}\">{}<saml:Subject>{}{}</saml:Subject>\
         <saml:Conditions{}{}>{audiences}{}</saml:Conditions>{}<saml:AttributeStatement>{}</saml:AttributeStatement>\
         </saml:Assertion>",
        attribute("ID", Some(&facts.id)),
        moment("IssueInstant", Some(facts.issued)),
        facts.version,
        issuer(facts.issuer.as_deref(), ""),
        facts.name_id.as_deref().map_or_else(String::new, |name| {
            element("saml:NameID", &attribute("Format", Some(facts.name_id_format)), name)
        }),
        facts.confirmation.as_ref().map_or_else(String::new, confirmation),
        moment("NotBefore", facts.not_before),
        moment("NotOnOrAfter", facts.not_on_or_after),
        facts.condition,
        facts.authenticated.map_or_else(String::new, |when| statement(when, facts.session_index.as_deref())),
        facts.attributes.iter().map(|(name, values)| describe(name, values)).collect::<String>(),
    )
}

fn confirmation(facts: &Confirmation) -> String {
    format!(
        "<saml:SubjectConfirmation Method=\"{}\"><saml:SubjectConfirmationData{}{}{}/></saml:SubjectConfirmation>",
        facts.method,
        attribute("InResponseTo", facts.in_response_to.as_deref()),
        attribute("NotOnOrAfter", facts.until.map(Moment::text).as_deref()),
        attribute("Recipient", facts.recipient.as_deref()),
    )
}

// behaviour 29: no SessionIndex unless single logout is on, and the vaguest of contexts
fn statement(when: Moment, index: Option<&str>) -> String {
    format!(
        "<saml:AuthnStatement{}{}><saml:AuthnContext><saml:AuthnContextClassRef>\
         urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef></saml:AuthnContext>\
         </saml:AuthnStatement>",
        attribute("AuthnInstant", Some(&when.text())),
        attribute("SessionIndex", index),
    )
}

// behaviour 29: xs:anyType, both prefixes declared on every value
fn describe(name: &str, values: &[String]) -> String {
    let typed = " xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" \
                 xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"xs:anyType\"";
    let values: String = values.iter().map(|value| element("saml:AttributeValue", typed, value)).collect();
    let name = attribute("Name", Some(name));
    format!(
        "<saml:Attribute{name} NameFormat=\"urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified\">{values}\
         </saml:Attribute>"
    )
}

/// The issuer, with Salesforce's format.
pub(super) fn issuer(name: Option<&str>, declared: &str) -> String {
    name.map_or_else(String::new, |name| element("saml:Issuer", &format!("{declared} Format=\"{ENTITY}\""), name))
}

/// An element that holds text.
pub(super) fn element(name: &str, attributes: &str, text: &str) -> String {
    let mut out = format!("<{name}{attributes}>");
    escape_text(text, &mut out);
    out + "</" + name + ">"
}

/// An attribute, if there is a value.
pub(super) fn attribute(name: &str, value: Option<&str>) -> String {
    let Some(value) = value else { return String::new() };
    let mut out = format!(" {name}=\"");
    escape_attribute(value, &mut out);
    out + "\""
}
