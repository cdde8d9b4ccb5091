//! Who gets in, and what is known of them afterwards.

use serde_json::json;

use super::super::trial::*;
use super::super::*;
use crate::http::path::LocalPath;
use crate::identity::xmldsig::{Cipher, Lines, Shape, encrypt_assertion, sign_enveloped};
use crate::identity::{OrgId, UserId};

#[test]
fn salesforces_shape_is_accepted_whichever_parts_are_signed() {
    for which in [Signed::Both, Signed::Response, Signed::Assertion] {
        let consumed = judge(&Draft::new().signed(which)).unwrap();
        assert_eq!(consumed.identity.user, UserId::parse(USER).unwrap(), "{which:?}");
        assert_eq!(consumed.identity.organization, OrgId::parse(ORG).unwrap());
        assert_eq!(consumed.identity.username, "ada@acme.example");
        assert_eq!(consumed.identity.email.as_deref(), Some("ada@mail.example"));
        assert_eq!(consumed.identity.user_type.as_deref(), Some("STANDARD"));
        assert_eq!(consumed.assertion_id, "_3e1b1790000000124");
        assert_eq!(consumed.name_id.value, "ada@acme.example");
        assert_eq!((consumed.session_index, consumed.session_not_on_or_after, consumed.return_to), (None, None, None));
        assert_eq!(consumed.remember_until, crate::clock::Timestamp(NOW.0 + 299 + 60));
    }
}

#[test]
fn every_layout_of_base64_is_accepted() {
    for lines in [Lines::One, Lines::Wrapped, Lines::CarriageReturns] {
        let draft = Draft::new();
        let shape = Shape { prefixes: "", lines, certificate: None };
        let xml = sign_enveloped(&draft.xml(), &draft.assertion_id, &IDP.key, &shape).unwrap();
        assert_eq!(xml.contains("&#13;"), lines == Lines::CarriageReturns);
        judge(&xml).unwrap();
    }
}

#[test]
fn the_old_and_the_new_certificate_both_count_while_both_are_configured() {
    let mut settings = settings();
    settings.certificates = vec![FORGER.certificate.clone(), IDP.certificate.clone()];
    judge_by(&settings, &Draft::new().signed(Signed::Both)).unwrap();
    judge_by(&settings, &Draft::new().signed_by(&FORGER, Signed::Both)).unwrap();
}

#[test]
fn a_portal_user_is_no_standard_user() {
    let mut draft = Draft::new();
    draft.attributes = draft.attributes.replace(">false<", ">true<");
    assert_eq!(judge(&draft.signed(Signed::Both)).unwrap().identity.user_type.as_deref(), Some("PORTAL"));
    draft.attributes = draft.attributes.replace(&attribute("is_portal_user", &["true"]), "");
    assert_eq!(judge(&draft.signed(Signed::Both)).unwrap().identity.user_type, None);
    draft.attributes += &attribute("is_portal_user", &["perhaps"]);
    assert_eq!(reason(&draft.signed(Signed::Both)), Reason::Attribute);
}

#[test]
fn custom_attributes_are_where_openid_connect_has_them() {
    let mut draft = Draft::new();
    draft.attributes += &attribute("roles", &["reader", "writer"]);
    draft.attributes += &attribute("department", &["Engines &amp; &lt;more&gt;"]);
    draft.attributes += &attribute("nothing", &[]);
    draft.attributes += &attribute("name", &["Ada"]);
    let identity = judge(&draft.signed(Signed::Both)).unwrap().identity;
    assert_eq!(identity.name.as_deref(), Some("Ada"));
    let expected = json!({
        "organization_id": OrgId::parse(ORG).unwrap(),
        "user_id": UserId::parse(USER).unwrap(),
        "preferred_username": "ada@acme.example",
        "email": "ada@mail.example",
        "name": "Ada",
        "user_type": "STANDARD",
        "custom_attributes": {
            "roles": ["reader", "writer"], "department": "Engines & <more>", "nothing": [], "name": "Ada",
        },
    });
    assert_eq!(serde_json::Value::Object(identity.claims), expected);
}

#[test]
fn the_organization_can_come_in_an_attribute() {
    let mut settings = settings();
    settings.organization = Organization::Attribute("org".into());
    let mut draft = Draft::new();
    let refused = judge_by(&settings, &draft.signed(Signed::Both)).unwrap_err();
    assert_eq!(refused.reason, Reason::Organization);
    let plain = draft.attributes.clone();
    for (values, accepted) in [
        (&["00D5g00000OTHER"][..], true),
        (&["00D5g00000OTHER", ORG][..], false),
        (&[USER][..], false),
        (&[""][..], false),
    ] {
        draft.attributes = plain.clone() + &attribute("org", values);
        match judge_by(&settings, &draft.signed(Signed::Both)) {
            Ok(consumed) => {
                assert!(accepted);
                assert_eq!(consumed.identity.organization, OrgId::parse(values[0]).unwrap());
            }
            Err(fault) => assert_eq!((fault.reason, accepted), (Reason::Organization, false), "{values:?}"),
        }
    }
}

#[test]
fn what_is_said_about_the_session_is_kept() {
    let mut draft = Draft::new();
    let said = format!("SessionIndex=\"s1\" SessionNotOnOrAfter=\"{}\"", at(3600));
    draft.statement = draft.statement.replace("<saml:AuthnStatement ", &format!("<saml:AuthnStatement {said} "));
    draft.name_id = "<saml:NameID NameQualifier=\"n\" SPNameQualifier=\"s\">a&amp;b</saml:NameID>".into();
    let consumed = judge(&draft.signed(Signed::Both)).unwrap();
    assert_eq!(consumed.session_index.as_deref(), Some("s1"));
    assert_eq!(consumed.session_not_on_or_after, Some(crate::clock::Timestamp(NOW.0 + 3600)));
    let expected = NameId {
        value: "a&b".into(),
        format: UNSPECIFIED.into(),
        name_qualifier: Some("n".into()),
        sp_name_qualifier: Some("s".into()),
    };
    assert_eq!(consumed.name_id, expected);
}

/// The same answer to no question.
fn unsolicited() -> String {
    let mut draft = Draft::new();
    let asked = format!(" InResponseTo=\"{ASKED}\"");
    draft.response = draft.response.replace(&asked, "");
    draft.confirmation = draft.confirmation.replace(&asked, "");
    draft.signed(Signed::Both)
}

fn arrive(xml: &str, relay_state: Option<&str>, settings: &Settings) -> Result<Consumed, Fault> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    consume(&STANDARD.encode(xml), relay_state, None, ACS, NOW, settings)
}

#[test]
fn an_answer_to_no_question_is_accepted_only_where_that_is_switched_on() {
    let mut settings = settings();
    assert_eq!(arrive(&unsolicited(), None, &settings).unwrap_err().reason, Reason::Unsolicited);
    settings.unsolicited = Unsolicited::Accepted;
    assert_eq!(arrive(&unsolicited(), None, &settings).unwrap().return_to, None);
    assert_eq!(arrive(&unsolicited(), Some(""), &settings).unwrap().return_to, None);
    let there = arrive(&unsolicited(), Some("/reports?q=1"), &settings).unwrap().return_to;
    assert_eq!(there, LocalPath::parse("/reports?q=1"));
    // An answer to a question is still one to that question's browser.
    let stolen = Draft::new().signed(Signed::Both);
    assert_eq!(arrive(&stolen, None, &settings).unwrap_err().reason, Reason::InResponseTo);
    // And a browser that asked waits for its answer.
    assert_eq!(judge_by(&settings, &unsolicited()).unwrap_err().reason, Reason::InResponseTo);
}

#[test]
fn an_answer_to_no_question_is_refused_before_any_key_is_used() {
    let settings = settings();
    for (xml, reason) in [(unsolicited(), Reason::Unsolicited), (Draft::new().xml(), Reason::InResponseTo)] {
        // Unsigned, signed with nonsense, and encrypted for nobody.
        let garbled = xml.replace("</saml:Assertion>", "<x/></saml:Assertion>");
        let (start, end) = (xml.find("<saml:Assertion").unwrap(), xml.find("</saml:Assertion>").unwrap());
        let hidden = format!(
            "{}<EncryptedAssertion xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\"/>{}",
            &xml[..start],
            &xml[end + "</saml:Assertion>".len()..]
        );
        for text in [&xml, &garbled, &hidden] {
            assert_eq!(arrive(text, None, &settings).unwrap_err().reason, reason);
        }
    }
}

#[test]
fn relay_state_leads_nowhere_else() {
    let mut settings = settings();
    settings.unsolicited = Unsolicited::Accepted;
    for elsewhere in
        ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "reports", " /"]
    {
        let fault = arrive(&unsolicited(), Some(elsewhere), &settings).unwrap_err();
        assert_eq!(fault.reason, Reason::RelayState, "{elsewhere}");
    }
}

#[test]
fn an_encrypted_assertion_is_opened_with_our_key() {
    for cipher in [Cipher::Aes128Gcm, Cipher::Aes256Gcm, Cipher::Aes128Cbc, Cipher::Aes256Cbc] {
        let draft = Draft::new();
        let inner = draft.signed(Signed::Assertion);
        let sealed = encrypt_assertion(&inner, &OURS.certificate, cipher).unwrap();
        assert!(!sealed.contains(USER));
        let whole = sign(&sealed, &draft.response_id, &IDP, "");
        assert_eq!(judge(&whole).unwrap().identity.user, UserId::parse(USER).unwrap());
        // CBC has no integrity of its own: only within a signed response is it touched.
        match cipher {
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => {
                judge(&sealed).unwrap();
            }
            Cipher::Aes128Cbc | Cipher::Aes256Cbc => assert_eq!(reason(&sealed), Reason::Undecryptable),
        }
        // The response's signature vouches for an assertion that has none.
        let bare = encrypt_assertion(&draft.xml(), &OURS.certificate, cipher).unwrap();
        judge(&sign(&bare, &draft.response_id, &IDP, "")).unwrap();
    }
}

#[test]
fn an_encrypted_assertion_may_use_prefixes_declared_outside() {
    let draft = Draft::new();
    let inner = draft.assertion_xml().replace(&format!(" xmlns:saml=\"{}\"", xmldsig::ASSERTION), "");
    let around = draft.around(&inner).replacen(
        "<samlp:Response",
        &format!("<samlp:Response xmlns:saml=\"{}\"", xmldsig::ASSERTION),
        1,
    );
    let signed = sign(&around, &draft.assertion_id, &IDP, "saml xs");
    let sealed = encrypt_assertion(&signed, &OURS.certificate, Cipher::Aes256Gcm).unwrap();
    judge(&sealed).unwrap();
}

use crate::identity::xmldsig;

#[test]
fn the_question_says_what_it_must() {
    let mut settings = settings();
    settings.reauthentication = Reauthentication::Required;
    let Sending::Redirect(location) = ask(&settings, "_q", ACS, "state&more", NOW).unwrap() else {
        panic!("a redirect")
    };
    let query = location.strip_prefix("https://acme.my.site.com/idp/endpoint/HttpRedirect?").unwrap();
    let read = Query::read(query).unwrap();
    assert_eq!(read.relay_state.as_deref(), Some("state&more"));
    assert_eq!(read.parameter, Parameter::Request);
    let tree = roxmltree::Document::parse(&read.xml).unwrap();
    let root = tree.root_element();
    assert!(root.has_tag_name((xmldsig::PROTOCOL, "AuthnRequest")));
    let attributes = ["ID", "Version", "IssueInstant", "Destination", "ForceAuthn", "AssertionConsumerServiceURL"];
    let said = attributes.map(|name| root.attribute(name).unwrap());
    assert_eq!(said, ["_q", "2.0", &write_time(NOW), settings.sso_url.as_str(), "true", ACS]);
    assert_eq!(root.first_element_child().unwrap().text(), Some(US));
}

#[test]
fn a_signed_question_verifies_with_our_certificate() {
    let mut settings = settings();
    settings.requests = Requests::Signed;
    let ours = [OURS.certificate.clone()];
    let trust = xmldsig::Trust { certificates: &ours, sha1: xmldsig::Sha1::Refused };
    let Sending::Redirect(location) = ask(&settings, "_q", ACS, "state", NOW).unwrap() else { panic!("a redirect") };
    let query = Query::read(location.split_once('?').unwrap().1).unwrap();
    let signed = query.signed.as_ref().unwrap();
    let tree = roxmltree::Document::parse(&query.xml).unwrap();
    let octets = signed.octets.as_bytes();
    xmldsig::verify_detached(tree.root_element(), octets, &signed.algorithm, &signed.signature, &trust).unwrap();
    assert!(location.contains(&format!("{}&Signature=", signed.octets)));

    settings.binding = Binding::Post;
    let Sending::Post { action, fields } = ask(&settings, "_q", ACS, "state", NOW).unwrap() else { panic!("a form") };
    assert_eq!(action, settings.sso_url.as_str());
    let [("SAMLRequest", message), ("RelayState", state)] = &fields[..] else { panic!("two fields") };
    assert_eq!(state, "state");
    let xml = String::from_utf8(xmldsig::decode(message).unwrap()).unwrap();
    let tree = roxmltree::Document::parse(&xml).unwrap();
    assert!(xmldsig::verify(tree.root_element(), &trust).unwrap().is_some());

    settings.key = None;
    assert!(matches!(ask(&settings, "_q", ACS, "state", NOW), Err(CannotSend::NoKey)));
}

#[test]
fn settings_that_could_not_work_are_refused_before_the_gateway_starts() {
    settings().check().unwrap();
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        settings.check().unwrap_err().to_string()
    };
    assert!(with(&|settings| settings.certificates.clear()).contains("no certificate"));
    assert!(with(&|settings| settings.sso_url = "http://acme.example/".parse().unwrap()).contains("https"));
    assert!(with(&|settings| settings.sso_url = "javascript:alert(1)".parse().unwrap()).contains("https"));
    assert!(with(&|settings| settings.key = None).contains("private key"));
    assert!(with(&|settings| settings.clock_skew = std::time::Duration::from_secs(181)).contains("3 minutes"));
    let mixed = OurKey::from_pem(&OURS.key_pem, &FORGER.certificate_pem).unwrap_err();
    assert!(matches!(mixed, SetupProblem::Mismatch));
}

#[test]
fn ids_are_xml_names_that_nobody_guesses() {
    let id = new_id().unwrap();
    assert!(id.starts_with('_') && id.len() == 44);
    assert_ne!(id, new_id().unwrap());
}
