//! Every check of the answer, by an answer that is signed well and fails this one.

use super::super::trial::*;
use super::super::*;

/// Why an answer with one text exchanged for another is refused, in each form that is signed.
fn with(old: &str, new: &str) -> Reason {
    let exchange = |text: &str| text.replace(old, new);
    let good = Draft::new();
    let draft = Draft {
        response_id: good.response_id.clone(),
        assertion_id: good.assertion_id.clone(),
        response: exchange(&good.response),
        response_issuer: exchange(&good.response_issuer),
        status: exchange(&good.status),
        assertion: exchange(&good.assertion),
        issuer: exchange(&good.issuer),
        name_id: exchange(&good.name_id),
        confirmation: exchange(&good.confirmation),
        conditions: exchange(&good.conditions),
        statement: exchange(&good.statement),
        attributes: exchange(&good.attributes),
    };
    assert_ne!(draft.xml(), good.xml(), "{old} occurs");
    let found = [Signed::Both, Signed::Response, Signed::Assertion].map(|which| reason(&draft.signed(which)));
    assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
    found[0]
}

#[test]
fn another_destination_is_refused() {
    assert_eq!(
        with(&format!("Destination=\"{ACS}\""), "Destination=\"https://evil.example/acs\""),
        Reason::Destination
    );
    assert_eq!(with(&format!("Destination=\"{ACS}\""), &format!("Destination=\"{ACS}/\"")), Reason::Destination);
}

#[test]
fn a_signed_response_must_say_where_it_goes() {
    let mut draft = Draft::new();
    draft.response = draft.response.replace(&format!(" Destination=\"{ACS}\""), "");
    assert_eq!(reason(&draft.signed(Signed::Response)), Reason::Destination);
    assert_eq!(reason(&draft.signed(Signed::Both)), Reason::Destination);
    // Unsigned it would prove nothing; the assertion's Recipient does.
    judge(&draft.signed(Signed::Assertion)).unwrap();
}

#[test]
fn another_recipient_is_refused() {
    assert_eq!(with(&format!("Recipient=\"{ACS}\""), "Recipient=\"https://evil.example/acs\""), Reason::Recipient);
    assert_eq!(with(&format!(" Recipient=\"{ACS}\""), ""), Reason::Recipient);
}

#[test]
fn another_audience_is_refused() {
    assert_eq!(with(&format!("<saml:Audience>{US}<"), "<saml:Audience>https://evil.example<"), Reason::Audience);
    assert_eq!(with(&format!("<saml:Audience>{US}</saml:Audience>"), ""), Reason::Audience);
    let restriction =
        format!("<saml:AudienceRestriction><saml:Audience>{US}</saml:Audience></saml:AudienceRestriction>");
    assert_eq!(with(&restriction, ""), Reason::Audience);
    let other = "<saml:AudienceRestriction><saml:Audience>x</saml:Audience></saml:AudienceRestriction>";
    assert_eq!(with(&restriction, &format!("{restriction}{other}")), Reason::Audience);
    let mut draft = Draft::new();
    draft.conditions = String::new();
    assert_eq!(reason(&draft.signed(Signed::Both)), Reason::Audience);
    draft.conditions =
        Draft::new().conditions.replace("<saml:Audience>", "<saml:Audience>x</saml:Audience><saml:Audience>");
    judge(&draft.signed(Signed::Both)).unwrap();
}

#[test]
fn another_issuer_is_refused() {
    let other = "https://evil.my.salesforce.com";
    for which in [Signed::Both, Signed::Response, Signed::Assertion] {
        let mut draft = Draft::new();
        draft.issuer = issuer(other);
        assert_eq!(reason(&draft.signed(which)), Reason::Issuer);
        let mut draft = Draft::new();
        draft.response_issuer = issuer(other);
        assert_eq!(reason(&draft.signed(which)), Reason::Issuer);
        let mut draft = Draft::new();
        draft.issuer = String::new();
        assert_eq!(reason(&draft.signed(which)), Reason::Issuer);
        draft.issuer = issuer(ISSUER).replace(":entity", ":transient");
        assert_eq!(reason(&draft.signed(which)), Reason::Issuer);
        // SAML core section 3.2.2 lets a response leave it out.
        let mut draft = Draft::new();
        draft.response_issuer = String::new();
        judge(&draft.signed(which)).unwrap();
    }
}

#[test]
fn an_answer_to_another_question_is_refused() {
    assert_eq!(with(&format!("InResponseTo=\"{ASKED}\""), "InResponseTo=\"_another\""), Reason::InResponseTo);
    assert_eq!(with(&format!(" InResponseTo=\"{ASKED}\""), ""), Reason::InResponseTo);
    for part in [Signed::Both, Signed::Assertion] {
        let mut draft = Draft::new();
        draft.response = draft.response.replace(ASKED, "_another");
        assert_eq!(reason(&draft.signed(part)), Reason::InResponseTo);
        let mut draft = Draft::new();
        draft.confirmation = draft.confirmation.replace(ASKED, "_another");
        assert_eq!(reason(&draft.signed(part)), Reason::InResponseTo);
    }
}

#[test]
fn times_count_to_the_second_beyond_the_skew() {
    let limit = |draft: &Draft| judge(&draft.signed(Signed::Assertion)).err().map(|fault| fault.reason);
    let mut draft = Draft::new();
    for (name, text, good, bad) in [
        ("Conditions NotBefore", at(-31), 60, 61),
        ("Conditions NotOnOrAfter", at(299), -59, -60),
        ("Confirmation NotOnOrAfter", at(299), -59, -60),
        ("IssueInstant", at(-1), 60, 61),
        ("AuthnInstant", at(-1), 60, 61),
    ] {
        for (offset, refused) in [(good, None), (bad, Some(if good > 0 { Reason::NotYet } else { Reason::Expired }))] {
            draft = Draft::new();
            let part = match name.split(' ').next().unwrap() {
                "Conditions" => &mut draft.conditions,
                "Confirmation" => &mut draft.confirmation,
                "IssueInstant" => &mut draft.assertion,
                _ => &mut draft.statement,
            };
            *part = part.replace(&text, &at(offset));
            assert_eq!(limit(&draft), refused, "{name} {offset}");
        }
    }
    draft.response = Draft::new().response.replace(&at(-1), &at(61));
    draft.statement = Draft::new().statement;
    assert_eq!(limit(&draft), Some(Reason::NotYet));
}

#[test]
fn a_larger_skew_than_three_minutes_counts_as_three() {
    let mut settings = settings();
    settings.clock_skew = std::time::Duration::from_secs(86_400);
    let mut draft = Draft::new();
    draft.conditions = draft.conditions.replace(&at(299), &at(-180));
    assert_eq!(judge_by(&settings, &draft.signed(Signed::Both)).unwrap_err().reason, Reason::Expired);
}

#[test]
fn a_session_that_has_ended_there_does_not_begin_here() {
    let ended = format!("<saml:AuthnStatement SessionNotOnOrAfter=\"{}\" ", at(-60));
    assert_eq!(with("<saml:AuthnStatement ", &ended), Reason::Expired);
}

#[test]
fn times_in_another_form_are_refused() {
    for (part, replacement) in [(at(299), "2026-09-21T14:18:19+02:00"), (at(299), "soon"), (at(-1), ""), (at(-31), "0")]
    {
        assert_eq!(with(&part, replacement), Reason::Times, "{replacement}");
    }
    assert_eq!(with(&format!(" NotOnOrAfter=\"{}\" Recipient", at(299)), " Recipient"), Reason::Times);
    assert_eq!(with(&format!(" IssueInstant=\"{}\"", at(-1)), ""), Reason::Times);
    assert_eq!(with(&format!(" AuthnInstant=\"{}\"", at(-1)), ""), Reason::Times);
}

#[test]
fn only_a_bearer_confirmation_lets_a_browser_present_it() {
    assert_eq!(with("cm:bearer", "cm:sender-vouches"), Reason::Confirmation);
    assert_eq!(
        with(
            "<saml:SubjectConfirmationData InResponseTo",
            "<saml:SubjectConfirmationData NotBefore=\"2026-01-01T00:00:00Z\" InResponseTo"
        ),
        Reason::Confirmation
    );
    let mut draft = Draft::new();
    let good = draft.confirmation.clone();
    draft.confirmation = String::new();
    assert_eq!(reason(&draft.signed(Signed::Both)), Reason::Confirmation);
    draft.confirmation = "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"/>".into();
    assert_eq!(reason(&draft.signed(Signed::Both)), Reason::Confirmation);
    // One that counts is enough.
    draft.confirmation = good.replace(ACS, "https://elsewhere.example/") + &good;
    judge(&draft.signed(Signed::Both)).unwrap();
}

#[test]
fn a_condition_that_is_not_understood_is_not_met() {
    let unknown = "<x:Condition xmlns:x=\"urn:x\"/></saml:Conditions>";
    assert_eq!(with("</saml:Conditions>", unknown), Reason::Condition);
    let mut draft = Draft::new();
    let known = "<saml:OneTimeUse/><saml:ProxyRestriction Count=\"0\"/></saml:Conditions>";
    draft.conditions = draft.conditions.replace("</saml:Conditions>", known);
    judge(&draft.signed(Signed::Both)).unwrap();
}

#[test]
fn an_assertion_about_nobody_signing_in_signs_nobody_in() {
    let mut draft = Draft::new();
    draft.statement = String::new();
    assert_eq!(reason(&draft.signed(Signed::Both)), Reason::NoAuthentication);
}

#[test]
fn who_had_to_authenticate_anew_must_have() {
    let mut settings = settings();
    settings.reauthentication = Reauthentication::Required;
    let mut draft = Draft::new();
    judge_by(&settings, &draft.signed(Signed::Both)).unwrap();
    draft.statement = draft.statement.replace(&at(-1), &at(-61));
    assert_eq!(judge_by(&settings, &draft.signed(Signed::Both)).unwrap_err().reason, Reason::NotAgain);
    judge(&draft.signed(Signed::Both)).unwrap();
}

#[test]
fn a_status_other_than_success_says_so() {
    let refused = "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Responder\"><samlp:StatusCode \
                   Value=\"urn:oasis:names:tc:SAML:2.0:status:AuthnFailed\"/></samlp:StatusCode>\
                   <samlp:StatusMessage>no\nway</samlp:StatusMessage>";
    let mut draft = Draft::new();
    draft.status = refused.into();
    let fault = judge(&draft.around("")).unwrap_err();
    assert_eq!(fault.reason, Reason::Refused);
    assert!(fault.detail.contains("AuthnFailed") && fault.detail.contains("no\\nway"), "{}", fault.detail);
    // Even beside a good assertion.
    assert_eq!(reason(&draft.signed(Signed::Both)), Reason::Refused);
    draft.status = String::new();
    assert_eq!(reason(&draft.signed(Signed::Both)), Reason::Shape);
}

#[test]
fn the_subject_must_have_one_name() {
    for name in ["", "<saml:NameID/>", "<saml:NameID>a<b/></saml:NameID>", "<saml:BaseID/>"] {
        let mut draft = Draft::new();
        draft.name_id = name.into();
        assert_eq!(reason(&draft.signed(Signed::Both)), Reason::NameId, "{name}");
    }
    let mut draft = Draft::new();
    draft.name_id = draft.name_id.repeat(2);
    assert_eq!(reason(&draft.signed(Signed::Both)), Reason::Shape);
}

#[test]
fn the_attributes_must_say_one_thing_each() {
    let user = attribute("userId", &[USER]);
    assert_eq!(with(&user, ""), Reason::Attribute);
    assert_eq!(with(&user, &format!("{user}{user}")), Reason::Attribute);
    assert_eq!(with(&user, &attribute("userId", &[USER, VICTIM])), Reason::Attribute);
    assert_eq!(with(&user, &attribute("userId", &[])), Reason::Attribute);
    assert_eq!(with(&user, &attribute("userId", &["<b/>"])), Reason::Attribute);
    assert_eq!(with(&user, &attribute("USERID", &[USER])), Reason::Attribute);
    assert_eq!(with(&user, &attribute("userId", &["ada"])), Reason::UserId);
    assert_eq!(with(&user, &attribute("userId", &[ORG])), Reason::UserId);
    assert_eq!(with(&attribute("username", &["ada@acme.example"]), &attribute("username", &[""])), Reason::Attribute);
    // One without a value is one, in either order.
    let without = attribute("userId", &[]);
    assert_eq!(with(&user, &format!("{without}{user}")), Reason::Attribute);
    assert_eq!(with(&user, &format!("{user}{without}")), Reason::Attribute);
    let twice = attribute("roles", &["a"]).repeat(2);
    assert_eq!(with(&user, &format!("{user}{twice}")), Reason::Attribute);
    assert_eq!(with(&user, &format!("{user}<saml:EncryptedAttribute/>")), Reason::Attribute);
    assert_eq!(with(&user, &format!("{user}<saml:Attribute/>")), Reason::Attribute);
}

#[test]
fn a_user_id_of_eighteen_characters_is_the_same_person() {
    let long = crate::identity::UserId::parse(USER).unwrap();
    let mut draft = Draft::new();
    draft.attributes = draft.attributes.replace(USER, long.as_str());
    assert_eq!(judge(&draft.signed(Signed::Both)).unwrap().identity.user, long);
}

#[test]
fn only_version_two_is_spoken() {
    assert_eq!(with("Version=\"2.0\"", "Version=\"1.1\""), Reason::Shape);
    let mut draft = Draft::new();
    draft.assertion = draft.assertion.replace("2.0", "1.1");
    assert_eq!(reason(&draft.signed(Signed::Both)), Reason::Shape);
}

#[test]
fn every_detail_is_fit_for_a_log() {
    let mut draft = Draft::new();
    draft.issuer = issuer(&format!("x\n\u{1b}[31m{}", "y".repeat(5000)).replace('\u{1b}', "&#x9b;"));
    let detail = judge(&draft.signed(Signed::Both)).unwrap_err().detail;
    assert!(detail.len() < 500 && !detail.contains('\n') && !detail.contains('\u{9b}'), "{detail}");
}

#[test]
fn what_is_no_xml_is_not_repeated_to_the_log() {
    let long = "y".repeat(60_000);
    for text in [
        format!("<{long}></b>"),
        format!("<a><b></{long}></a>"),
        format!("<{long}:a/>"),
        "<a b\u{1b}[31m='c'/>".to_owned(),
        "<a b\u{9b}='c'/>".to_owned(),
        "<a b\n\nINFO='c'/>".to_owned(),
    ] {
        let detail = judge(&text).unwrap_err().detail;
        assert!(detail.len() < 500 && !detail.chars().any(char::is_control), "{detail:?}");
    }
}
