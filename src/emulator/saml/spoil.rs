//! Mischief with what a Response says: the facts are changed, and then signed as if they were true.
//!
//! Called by `saml` between `message::truth` and `seal`.

use super::message::{BEARER, Carries, Confirmation, Message, Moment, attribute};
use super::mischief::SamlMischief;
use super::seal::between;
use crate::emulator::idtoken::ELSEWHERE;
use crate::emulator::people::Person;

pub(super) const ANOTHER_REQUEST: &str = "_ffffffffffffffffffffffffffffffff1700000000000";
const DENIED: &str = "urn:oasis:names:tc:SAML:2.0:status:Responder";
const HOLDER_OF_KEY: &str = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key";
const HOUR: i64 = 3600;
const HALF_A_MINUTE: i64 = 30;
const ANOTHER_APP: &str = "<saml:AudienceRestriction><saml:Audience>https://elsewhere.example/metadata</saml:Audience>\
                           </saml:AudienceRestriction>";
const ANOTHER_CONDITION: &str = "<saml:Condition xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                                 xmlns:x=\"urn:pretend\" xsi:type=\"x:OnlyOnSundays\"/>";
/// What stands behind somebody's name in a name that is not theirs.
pub(super) const TAIL: &str = ".elsewhere.example";

/// Changes what the mischief is about.
pub(super) fn spoil(message: &mut Message, mischief: SamlMischief, person: &Person, colleague: &Person) {
    spoil_envelope(message, mischief);
    spoil_statement(message, mischief);
    spoil_attributes(message, mischief, person, colleague);
    let assertion = &mut message.assertion;
    if let Some(confirmation) = &mut assertion.confirmation {
        spoil_confirmation(confirmation, mischief);
    }
    if mischief == SamlMischief::MissingConfirmation {
        assertion.confirmation = None;
    }
}

fn spoil_envelope(message: &mut Message, mischief: SamlMischief) {
    match mischief {
        SamlMischief::WrongIssuer => {
            message.issuer = Some(ELSEWHERE.to_owned());
            message.assertion.issuer = Some(ELSEWHERE.to_owned());
        }
        SamlMischief::WrongDestination => message.destination = Some(format!("{ELSEWHERE}/acs")),
        SamlMischief::MissingDestination => message.destination = None,
        SamlMischief::WrongInResponseTo => message.in_response_to = Some(ANOTHER_REQUEST.to_owned()),
        SamlMischief::Unsolicited => message.in_response_to = None,
        SamlMischief::StatusDenied => {
            message.status = DENIED;
            message.carries = Carries::Nothing;
        }
        SamlMischief::StatusDeniedWithAssertion => message.status = DENIED,
        SamlMischief::MissingAssertion => message.carries = Carries::Nothing,
        SamlMischief::TwoAssertions => message.carries = Carries::Two,
        SamlMischief::Expired => shift(message, -HOUR),
        SamlMischief::IssuedLater => {
            message.issued = message.issued.plus(HOUR);
            message.assertion.issued = message.assertion.issued.plus(HOUR);
        }
        SamlMischief::NotYetValid => shift(message, HOUR),
        SamlMischief::ClockAhead => shift(message, HALF_A_MINUTE),
        SamlMischief::ClockBehind => shift(message, -HALF_A_MINUTE),
        _ => {}
    }
}

fn shift(message: &mut Message, seconds: i64) {
    let assertion = &mut message.assertion;
    for moment in [&mut message.issued, &mut assertion.issued] {
        *moment = moment.plus(seconds);
    }
    let until = assertion.confirmation.as_mut().map(|confirmation| &mut confirmation.until);
    let moments = [&mut assertion.not_before, &mut assertion.not_on_or_after, &mut assertion.authenticated];
    for moment in moments.into_iter().chain(until) {
        *moment = moment.map(|moment| moment.plus(seconds));
    }
}

fn spoil_statement(message: &mut Message, mischief: SamlMischief) {
    let assertion = &mut message.assertion;
    match mischief {
        SamlMischief::WrongAssertionIssuer => assertion.issuer = Some(ELSEWHERE.to_owned()),
        SamlMischief::MissingIssuer => assertion.issuer = None,
        SamlMischief::WrongAudience => assertion.audiences = vec![format!("{ELSEWHERE}/metadata")],
        SamlMischief::LongerAudience => assertion.audiences.iter_mut().for_each(|audience| audience.push_str("/more")),
        SamlMischief::TwoAudiences => assertion.audiences.insert(0, format!("{ELSEWHERE}/metadata")),
        SamlMischief::MissingAudience => assertion.audiences.clear(),
        SamlMischief::MissingStatement => assertion.authenticated = None,
        SamlMischief::MissingNameId => assertion.name_id = None,
        SamlMischief::WrongVersion => assertion.version = "1.1",
        SamlMischief::NotBeforeNow => assertion.not_before = Some(assertion.issued),
        SamlMischief::SessionIndex => assertion.session_index = Some(ANOTHER_REQUEST.to_owned()),
        SamlMischief::CommentInNameId => assertion.name_id.iter_mut().for_each(|name| name.push_str(TAIL)),
        SamlMischief::EmptyNameId => assertion.name_id = Some(String::new()),
        SamlMischief::AuthenticatedLater => assertion.authenticated = Some(assertion.issued.plus(HOUR)),
        SamlMischief::AuthenticatedEarlier => assertion.authenticated = Some(assertion.issued.plus(-HOUR)),
        SamlMischief::ConditionsExpired => {
            assertion.not_before = Some(assertion.issued.plus(-2 * HOUR));
            assertion.not_on_or_after = Some(assertion.issued.plus(-HOUR));
        }
        SamlMischief::ConditionsNotYet => {
            assertion.not_before = Some(assertion.issued.plus(HOUR));
            assertion.not_on_or_after = Some(assertion.issued.plus(2 * HOUR));
        }
        SamlMischief::UnknownCondition => assertion.condition = ANOTHER_CONDITION,
        SamlMischief::AnotherRestriction => assertion.condition = ANOTHER_APP,
        SamlMischief::OneTimeUse => assertion.condition = "<saml:OneTimeUse/>",
        _ => {}
    }
}

fn spoil_confirmation(confirmation: &mut Confirmation, mischief: SamlMischief) {
    match mischief {
        SamlMischief::WrongRecipient => confirmation.recipient = Some(format!("{ELSEWHERE}/acs")),
        SamlMischief::MissingRecipient => confirmation.recipient = None,
        SamlMischief::WrongInResponseTo | SamlMischief::WrongConfirmation => {
            confirmation.in_response_to = Some(ANOTHER_REQUEST.to_owned());
        }
        SamlMischief::Unsolicited => confirmation.in_response_to = None,
        SamlMischief::ConfirmationExpired => confirmation.until = confirmation.until.map(|until| until.plus(-HOUR)),
        SamlMischief::ConfirmationEndless => confirmation.until = None,
        SamlMischief::HolderOfKey => confirmation.method = HOLDER_OF_KEY,
        _ => {}
    }
}

fn spoil_attributes(message: &mut Message, mischief: SamlMischief, person: &Person, colleague: &Person) {
    let attributes = &mut message.assertion.attributes;
    let mut set = |name: &str, value: &str| {
        for attribute in attributes.iter_mut().filter(|attribute| attribute.0 == name) {
            attribute.1 = vec![value.to_owned()];
        }
    };
    match mischief {
        SamlMischief::MalformedUserId => set("userId", "ada"),
        SamlMischief::LongUserId => set("userId", person.user),
        SamlMischief::CommentInAttribute => set("username", &format!("{}{TAIL}", person.username)),
        SamlMischief::MalformedPortalUser => set("is_portal_user", "perhaps"),
        SamlMischief::MissingUsername => attributes.retain(|attribute| attribute.0 != "username"),
        SamlMischief::UserIdTwoValues => {
            let ids = attributes.iter_mut().filter(|attribute| attribute.0 == "userId");
            ids.for_each(|attribute| attribute.1.push(colleague.short_user().to_owned()));
        }
        SamlMischief::AttributeTwice => {
            attributes.extend(["sales", "support"].map(|value| ("team".to_owned(), vec![value.to_owned()])));
        }
        SamlMischief::MissingUserId => attributes.retain(|attribute| attribute.0 != "userId"),
        SamlMischief::UserIdTwice => {
            attributes.push(("userId".to_owned(), vec![colleague.short_user().to_owned()]));
        }
        SamlMischief::ManyValues => {
            attributes.push(("groups".to_owned(), ["sales", "support", "a, b & <c>"].map(str::to_owned).to_vec()));
            attributes.push(("nothing".to_owned(), Vec::new()));
        }
        _ => {}
    }
}

/// Changes what is no fact but a matter of spelling, or a fact of its own; before anything is signed.
pub(super) fn respell(text: String, issued: Moment, mischief: SamlMischief) -> String {
    let later = |name: &str, seconds: i64| attribute(name, Some(&issued.plus(seconds).text()));
    match mischief {
        SamlMischief::Indented => text.replace("><", ">\n    <"),
        SamlMischief::Untyped => {
            let typed = between(&text, "<saml:AttributeValue", ">").unwrap_or_default().to_owned();
            let text = if typed.is_empty() { text } else { text.replace(&typed, "") };
            text.replace(" Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:entity\"", "")
        }
        SamlMischief::MissingSubject => without(text, "<saml:Subject>", "</saml:Subject>"),
        SamlMischief::MissingConditions => without(text, "<saml:Conditions", "</saml:Conditions>"),
        SamlMischief::ConfirmationBegins => with(&text, "<saml:SubjectConfirmationData", &later("NotBefore", -HOUR)),
        SamlMischief::SessionEnded => with(&text, "<saml:AuthnStatement", &later("SessionNotOnOrAfter", -HOUR)),
        SamlMischief::SessionEnds => with(&text, "<saml:AuthnStatement", &later("SessionNotOnOrAfter", HOUR)),
        SamlMischief::MalformedTime => match between(&text, "NotOnOrAfter=\"", "\"") {
            Some(time) => text.replace(&format!("NotOnOrAfter=\"{time}\""), "NotOnOrAfter=\"tomorrow\""),
            None => text,
        },
        SamlMischief::TwoConfirmations => {
            let end = later("NotOnOrAfter", HOUR);
            let another = format!(
                "<saml:SubjectConfirmation Method=\"{BEARER}\">\
                 <saml:SubjectConfirmationData{end} Recipient=\"{ELSEWHERE}/acs\"/></saml:SubjectConfirmation>"
            );
            text.replacen("<saml:SubjectConfirmation ", &format!("{another}<saml:SubjectConfirmation "), 1)
        }
        _ => text,
    }
}

fn with(text: &str, tag: &str, attribute: &str) -> String {
    text.replacen(tag, &format!("{tag}{attribute}"), 1)
}

fn without(mut text: String, start: &str, end: &str) -> String {
    if let (Some(from), Some(to)) = (text.find(start), text.find(end)) {
        text.replace_range(from..to + end.len(), "");
    }
    text
}

/// The fields of the form: the Responses, and what came with the request.
pub(super) fn form(
    responses: Vec<String>,
    relay_state: Option<&str>,
    mischief: Option<SamlMischief>,
) -> Vec<(&'static str, String)> {
    let states = match (mischief, relay_state) {
        (Some(SamlMischief::RelayStateMissing), _) | (_, None) => Vec::new(),
        (Some(SamlMischief::RelayStateChanged), Some(state)) => vec![state.chars().rev().collect()],
        (Some(SamlMischief::RelayStateElsewhere), Some(_)) => vec![format!("{ELSEWHERE}/")],
        (Some(SamlMischief::RelayStateTwice), Some(state)) => vec![state.to_owned(), "another".to_owned()],
        (_, Some(state)) => vec![state.to_owned()],
    };
    let responses = responses.into_iter().map(|response| ("SAMLResponse", response));
    responses.chain(states.into_iter().map(|state| ("RelayState", state))).collect()
}
