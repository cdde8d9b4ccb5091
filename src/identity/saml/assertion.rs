//! What a verified assertion says, and whether it says it to us, now, about somebody whom a browser may present.
//!
//! SAML core section 2 and SAML profiles section 4.1.4.2, every line of them; Salesforce's own habits from
//! salesforce.md 6.4: user ids of 15 characters, `is_portal_user` in place of a user type, no organization unless an
//! administrator adds it. Called by `consume`.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Map, Value};

use super::consume::{Asked, check_issuer, version};
use super::fault::shown;
use super::settings::{Organization, Settings};
use super::time::read_time;
use super::{Fault, Reason, UNSPECIFIED};
use crate::clock::Timestamp;
use crate::identity::salesforce::read_identity;
use crate::identity::xmldsig::{ASSERTION, Verified};
use crate::identity::{Identity, OrgId, UserId};

const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";

/// What an assertion is held against.
pub(super) struct Context<'c> {
    pub(super) settings: &'c Settings,
    pub(super) acs_url: &'c str,
    pub(super) asked: Option<Asked<'c>>,
    pub(super) now: Timestamp,
}

/// What an accepted assertion says.
pub(super) struct Facts {
    pub(super) identity: Identity,
    pub(super) assertion_id: String,
    pub(super) remember_until: Timestamp,
    pub(super) name_id: NameId,
    pub(super) session_index: Option<String>,
    pub(super) session_not_on_or_after: Option<Timestamp>,
}

/// How the identity provider calls somebody: to be repeated to it as it is, and otherwise for no use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct NameId {
    /// The text.
    pub value: String,
    /// What kind of name it is said to be.
    pub format: String,
    /// Within whose names it is unique.
    pub name_qualifier: Option<String>,
    /// For which service provider it is unique.
    pub sp_name_qualifier: Option<String>,
}

impl NameId {
    pub(super) fn read(subject: Verified<'_>) -> Result<Self, Fault> {
        let element = subject.only(ASSERTION, "NameID")?;
        let element = element.ok_or_else(|| Fault::new(Reason::NameId, "a Subject without a NameID"))?;
        let value = element.text().map_err(|oddity| Fault::new(Reason::NameId, oddity.to_string()))?;
        if value.is_empty() {
            return Err(Fault::new(Reason::NameId, "an empty NameID"));
        }
        let attribute = |name| element.attribute(name).map(str::to_owned);
        Ok(Self {
            value: value.into_owned(),
            format: attribute("Format").unwrap_or_else(|| UNSPECIFIED.to_owned()),
            name_qualifier: attribute("NameQualifier"),
            sp_name_qualifier: attribute("SPNameQualifier"),
        })
    }
}

/// Reads an assertion.
pub(super) fn read(assertion: Verified<'_>, context: &Context<'_>) -> Result<Facts, Fault> {
    version(assertion.node())?;
    context.issued(assertion.attribute("IssueInstant"))?;
    let id = assertion.attribute("ID").filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| Fault::new(Reason::Shape, "an Assertion without an ID"))?;
    let issuer = assertion.only(ASSERTION, "Issuer")?;
    let issuer = issuer.ok_or_else(|| Fault::new(Reason::Issuer, "an Assertion without an Issuer"))?;
    check_issuer(issuer.node(), context.settings)?;
    let subject = assertion.only(ASSERTION, "Subject")?;
    let subject = subject.ok_or_else(|| Fault::new(Reason::NameId, "an Assertion without a Subject"))?;
    let name_id = NameId::read(subject)?;
    let confirmed_until = context.confirmed(subject)?;
    context.conditions(assertion)?;
    let session = context.authenticated(assertion)?;
    Ok(Facts {
        identity: identity(assertion, context.settings)?,
        assertion_id: id.to_owned(),
        remember_until: confirmed_until.after(context.settings.skew()),
        name_id,
        session_index: session.index,
        session_not_on_or_after: session.ends,
    })
}

/// What the statements about signing in say.
struct Session {
    index: Option<String>,
    ends: Option<Timestamp>,
}

impl Context<'_> {
    /// A time that must be there and readable.
    fn time(what: &'static str, value: Option<&str>) -> Result<Timestamp, Fault> {
        let fault =
            || Fault::new(Reason::Times, format!("{what} is {}", value.map_or_else(|| "missing".into(), shown)));
        value.and_then(read_time).ok_or_else(fault)
    }

    fn not_before(&self, what: &'static str, value: Option<&str>) -> Result<(), Fault> {
        let time = Self::time(what, value)?;
        if self.now.after(self.settings.skew()) < time {
            return Err(Fault::new(Reason::NotYet, format!("{what} is {}", shown(value.unwrap_or_default()))));
        }
        Ok(())
    }

    fn not_on_or_after(&self, what: &'static str, value: Option<&str>) -> Result<Timestamp, Fault> {
        let time = Self::time(what, value)?;
        if self.now >= time.after(self.settings.skew()) {
            return Err(Fault::new(Reason::Expired, format!("{what} is {}", shown(value.unwrap_or_default()))));
        }
        Ok(time)
    }

    /// Whether something was issued at a moment that has been.
    pub(super) fn issued(&self, instant: Option<&str>) -> Result<(), Fault> {
        self.not_before("IssueInstant", instant)
    }

    /// Until when a browser may present it: one bearer confirmation that counts is enough.
    fn confirmed(&self, subject: Verified<'_>) -> Result<Timestamp, Fault> {
        let mut until = None;
        let mut fault = Fault::new(Reason::Confirmation, "no bearer SubjectConfirmation");
        for confirmation in subject.elements().filter(|child| child.is(ASSERTION, "SubjectConfirmation")) {
            if confirmation.attribute("Method") == Some(BEARER) {
                match self.bearer(confirmation) {
                    Ok(time) => until = until.max(Some(time)),
                    Err(problem) => fault = problem,
                }
            }
        }
        until.ok_or(fault)
    }

    fn bearer(&self, confirmation: Verified<'_>) -> Result<Timestamp, Fault> {
        let data = confirmation.only(ASSERTION, "SubjectConfirmationData")?;
        let data = data.ok_or_else(|| Fault::new(Reason::Confirmation, "no SubjectConfirmationData"))?;
        let recipient = data.attribute("Recipient");
        if recipient != Some(self.acs_url) {
            return Err(Fault::unlike(Reason::Recipient, "Recipient", recipient, self.acs_url));
        }
        let answers = data.attribute("InResponseTo");
        if answers != self.asked.map(|asked| asked.id) {
            let wanted = self.asked.map_or("missing", |asked| asked.id);
            return Err(Fault::unlike(Reason::InResponseTo, "the confirmation's InResponseTo", answers, wanted));
        }
        if data.attribute("NotBefore").is_some() {
            return Err(Fault::new(Reason::Confirmation, "a bearer confirmation with NotBefore"));
        }
        self.not_on_or_after("the confirmation's NotOnOrAfter", data.attribute("NotOnOrAfter"))
    }

    fn conditions(&self, assertion: Verified<'_>) -> Result<(), Fault> {
        let conditions = assertion.only(ASSERTION, "Conditions")?;
        let conditions = conditions.ok_or_else(|| Fault::new(Reason::Audience, "an Assertion without Conditions"))?;
        if let Some(time) = conditions.attribute("NotBefore") {
            self.not_before("NotBefore", Some(time))?;
        }
        if let Some(time) = conditions.attribute("NotOnOrAfter") {
            self.not_on_or_after("NotOnOrAfter", Some(time))?;
        }
        let mut restricted = false;
        for condition in conditions.elements() {
            if condition.is(ASSERTION, "AudienceRestriction") {
                self.audience(condition)?;
                restricted = true;
            } else if !condition.is(ASSERTION, "OneTimeUse") && !condition.is(ASSERTION, "ProxyRestriction") {
                return Err(Fault::new(Reason::Condition, format!("a condition {}", shown(condition.name()))));
            }
        }
        let missing = || Fault::new(Reason::Audience, "no AudienceRestriction");
        if restricted { Ok(()) } else { Err(missing()) }
    }

    /// Each restriction must name us (SAML core section 2.5.1.4).
    fn audience(&self, restriction: Verified<'_>) -> Result<(), Fault> {
        let mut named = None;
        for audience in restriction.elements().filter(|child| child.is(ASSERTION, "Audience")) {
            let text = audience.text()?;
            if text == self.settings.entity_id {
                return Ok(());
            }
            named = Some(text);
        }
        Err(Fault::unlike(Reason::Audience, "Audience", named.as_deref(), &self.settings.entity_id))
    }

    fn authenticated(&self, assertion: Verified<'_>) -> Result<Session, Fault> {
        let mut found: Option<Session> = None;
        let mut anew = false;
        for statement in assertion.elements().filter(|child| child.is(ASSERTION, "AuthnStatement")) {
            let instant = statement.attribute("AuthnInstant");
            self.not_before("AuthnInstant", instant)?;
            let instant = Self::time("AuthnInstant", instant)?;
            anew |= self.asked.is_some_and(|asked| instant.after(self.settings.skew()) >= asked.at);
            let ends = match statement.attribute("SessionNotOnOrAfter") {
                Some(time) => Some(self.not_on_or_after("SessionNotOnOrAfter", Some(time))?),
                None => None,
            };
            let index = statement.attribute("SessionIndex").map(str::to_owned);
            found = Some(match found {
                None => Session { index, ends },
                Some(before) => Session {
                    index: before.index.or(index),
                    // The earliest of those that were named.
                    ends: [before.ends, ends].into_iter().flatten().min(),
                },
            });
        }
        let session = found.ok_or_else(|| Fault::new(Reason::NoAuthentication, "no AuthnStatement"))?;
        if self.settings.reauthentication == super::Reauthentication::Required && !anew {
            return Err(Fault::new(Reason::NotAgain, "AuthnInstant is before the question"));
        }
        Ok(session)
    }
}

/// The attributes that Salesforce always sends, and all others.
#[derive(Default)]
struct Attributes<'a> {
    seen: HashSet<&'a str>,
    user: Option<Cow<'a, str>>,
    username: Option<Cow<'a, str>>,
    email: Option<Cow<'a, str>>,
    portal: Option<Cow<'a, str>>,
    custom: Map<String, Value>,
}

impl<'a> Attributes<'a> {
    fn read(assertion: Verified<'a>) -> Result<Self, Fault> {
        let mut attributes = Self::default();
        for statement in assertion.elements().filter(|child| child.is(ASSERTION, "AttributeStatement")) {
            for attribute in statement.elements() {
                if !attribute.is(ASSERTION, "Attribute") {
                    return Err(Fault::new(Reason::Attribute, format!("a {} there", shown(attribute.name()))));
                }
                attributes.add(attribute)?;
            }
        }
        Ok(attributes)
    }

    fn add(&mut self, attribute: Verified<'a>) -> Result<(), Fault> {
        let name = attribute.attribute("Name").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Fault::new(Reason::Attribute, "an attribute without a Name"))?;
        let odd = |what: &str| Fault::new(Reason::Attribute, format!("{} {what}", shown(name)));
        // Twice the same name: whose word would count? One without a value has been said, too.
        if !self.seen.insert(name) {
            return Err(odd("is there twice"));
        }
        let mut values = Vec::new();
        for value in attribute.elements() {
            if !value.is(ASSERTION, "AttributeValue") {
                return Err(odd("holds something else than values"));
            }
            values.push(value.text().map_err(|_| odd("has a value that is no text"))?);
        }
        let slot = match name {
            "userId" => &mut self.user,
            "username" => &mut self.username,
            "email" => &mut self.email,
            "is_portal_user" => &mut self.portal,
            _ => {
                let one = |value: Cow<'_, str>| Value::String(value.into_owned());
                let mut values: Vec<Value> = values.into_iter().map(one).collect();
                let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
                self.custom.insert(name.to_owned(), value);
                return Ok(());
            }
        };
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (Some(value), None) => *slot = Some(value),
            (None, None) => {}
            _ => return Err(odd("has several values")),
        }
        Ok(())
    }
}

/// Who the attributes speak of, in the words of OpenID Connect, so that nobody later needs to know the protocol.
fn identity(assertion: Verified<'_>, settings: &Settings) -> Result<Identity, Fault> {
    let attributes = Attributes::read(assertion)?;
    let missing = |name: &str| Fault::new(Reason::Attribute, format!("{name} is missing"));
    let user = attributes.user.ok_or_else(|| missing("userId"))?;
    let user = UserId::parse(&user).map_err(|bad| Fault::new(Reason::UserId, format!("{} {bad}", shown(&user))))?;
    let organization = match &settings.organization {
        Organization::Known(organization) => *organization,
        Organization::Attribute(name) => {
            let value = attributes.custom.get(name).and_then(Value::as_str);
            let text = value.ok_or_else(|| Fault::new(Reason::Organization, format!("{name} is no single value")))?;
            OrgId::parse(text).map_err(|bad| Fault::new(Reason::Organization, format!("{} {bad}", shown(text))))?
        }
    };
    let user_type = match attributes.portal.as_deref() {
        None => None,
        Some("false") => Some("STANDARD"),
        Some("true") => Some("PORTAL"),
        Some(other) => return Err(Fault::unlike(Reason::Attribute, "is_portal_user", Some(other), "true or false")),
    };
    let username = attributes.username.filter(|name| !name.is_empty()).ok_or_else(|| missing("username"))?;
    let mut claims = Map::new();
    let mut claim = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            claims.insert(name.to_owned(), Value::String(value.to_owned()));
        }
    };
    claim("organization_id", Some(organization.as_str()));
    claim("user_id", Some(user.as_str()));
    claim("preferred_username", Some(&username));
    claim("email", attributes.email.as_deref().filter(|email| !email.is_empty()));
    claim("name", attributes.custom.get("name").and_then(Value::as_str));
    claim("user_type", user_type);
    claims.insert("custom_attributes".to_owned(), Value::Object(attributes.custom));
    Ok(read_identity(organization, user, claims))
}
