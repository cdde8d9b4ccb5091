//! Mischief with what a Response says: the facts are changed, and then signed as if they were true.
//!
//! Called by `saml` between `message::truth` and `seal`.

use super::message::{Carries, Confirmation, Message};
use super::mischief::SamlMischief;
use crate::emulator::idtoken::ELSEWHERE;
use crate::emulator::people::Person;

pub(super) const ANOTHER_REQUEST: &str = "_ffffffffffffffffffffffffffffffff1700000000000";
const DENIED: &str = "urn:oasis:names:tc:SAML:2.0:status:Responder";
const HOLDER_OF_KEY: &str = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key";
const HOUR: i64 = 3600;
const HALF_A_MINUTE: i64 = 30;
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
        SamlMischief::UnknownCondition => {
            assertion.condition = "<saml:Condition xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                                   xmlns:x=\"urn:pretend\" xsi:type=\"x:OnlyOnSundays\"/>";
        }
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
