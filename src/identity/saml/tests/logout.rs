//! Signing out: who may ask for it, and what the two sides tell each other.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::super::logout::{Arrived, Logout, Outcome, receive, request, response};
use super::super::metadata::{BadMetadata, Metadata, write};
use super::super::trial::*;
use super::super::*;
use crate::identity::xmldsig::{ASSERTION, PROTOCOL, Sha1, SigningKey, sign_enveloped};

fn name() -> NameId {
    NameId {
        value: "ada@acme.example".into(),
        format: UNSPECIFIED.into(),
        name_qualifier: None,
        sp_name_qualifier: None,
    }
}

/// The identity provider, seen from its own side.
fn theirs(binding: Binding) -> Settings {
    let mut theirs = settings();
    theirs.entity_id = ISSUER.into();
    theirs.key = Some(std::sync::Arc::new(OurKey::from_pem(&IDP.key_pem, &IDP.certificate_pem).unwrap()));
    theirs.sign_out = Some(SignOut { url: SLO.parse().unwrap(), binding });
    theirs
}

fn arrived(sending: &Sending) -> Result<Logout, Fault> {
    match sending {
        Sending::Redirect(location) => {
            let query = location.strip_prefix(SLO).unwrap().strip_prefix('?').unwrap();
            receive(Arrived::Query(query), SLO, NOW, &settings())
        }
        Sending::Post { fields, .. } => {
            let parameter = if fields[0].0 == "SAMLRequest" { Parameter::Request } else { Parameter::Response };
            let relay_state = fields.get(1).map(|(_, state)| state.as_str());
            receive(Arrived::Form { parameter, message: &fields[0].1, relay_state }, SLO, NOW, &settings())
        }
    }
}

#[test]
fn a_signed_logout_request_is_understood_in_both_bindings() {
    for binding in [Binding::Redirect, Binding::Post] {
        let sent = request(&theirs(binding), "_r", &name(), Some("s&1"), Some("their state"), NOW).unwrap();
        let expected = Logout::Request {
            id: "_r".into(),
            name_id: name(),
            session_indexes: vec!["s&1".into()],
            relay_state: Some("their state".into()),
        };
        assert_eq!(arrived(&sent), Ok(expected));
    }
}

#[test]
fn a_signed_logout_response_is_understood_in_both_bindings() {
    for binding in [Binding::Redirect, Binding::Post] {
        for outcome in [Outcome::SignedOut, Outcome::Failed] {
            let sent = response(&theirs(binding), "_r", "_ours", outcome, None, NOW).unwrap();
            let expected = Logout::Response { in_response_to: "_ours".into(), outcome, relay_state: None };
            assert_eq!(arrived(&sent), Ok(expected));
        }
    }
}

#[test]
fn our_logout_request_carries_our_signature() {
    let Sending::Redirect(location) = request(&settings(), "_r", &name(), None, Some("s"), NOW).unwrap() else {
        panic!("a redirect")
    };
    let (to, query) = location.split_once('?').unwrap();
    let mut theirs = settings();
    theirs.certificates = vec![OURS.certificate.clone()];
    theirs.issuer = US.into();
    assert!(receive(Arrived::Query(query), to, NOW, &theirs).is_ok());
    let mut keyless = settings();
    keyless.key = None;
    assert!(matches!(request(&keyless, "_r", &name(), None, None, NOW), Err(CannotSend::NoKey)));
    keyless.sign_out = None;
    assert!(matches!(response(&keyless, "_r", "_q", Outcome::Failed, None, NOW), Err(CannotSend::NoAddress)));
}

fn document() -> String {
    format!(
        "<samlp:LogoutRequest xmlns:samlp=\"{PROTOCOL}\" xmlns:saml=\"{ASSERTION}\" ID=\"_r\" Version=\"2.0\" \
         IssueInstant=\"{}\" Destination=\"{SLO}\"><saml:Issuer>{ISSUER}</saml:Issuer><saml:NameID>ada</saml:NameID>\
         </samlp:LogoutRequest>",
        at(-1)
    )
}

fn by_query(xml: &str, key: Option<&SigningKey>) -> Result<Logout, Reason> {
    let query = redirect::write(Parameter::Request, xml, None, key).unwrap();
    receive(Arrived::Query(&query), SLO, NOW, &settings()).map_err(|fault| fault.reason)
}

fn by_form(xml: &str) -> Result<Logout, Reason> {
    let message = STANDARD.encode(xml);
    let form = Arrived::Form { parameter: Parameter::Request, message: &message, relay_state: None };
    receive(form, SLO, NOW, &settings()).map_err(|fault| fault.reason)
}

#[test]
fn an_unsigned_logout_does_nothing() {
    assert_eq!(by_query(&document(), None), Err(Reason::Unsigned));
    assert_eq!(by_form(&document()), Err(Reason::Unsigned));
    // A signature in the document is none of the query.
    let signed = sign_enveloped(&document(), "_r", &IDP.key, &Default::default()).unwrap();
    assert!(by_form(&signed).is_ok());
    assert_eq!(by_query(&signed, None), Err(Reason::Logout));
}

#[test]
fn a_logout_signed_by_somebody_else_does_nothing() {
    assert_eq!(by_query(&document(), Some(&FORGER.key)), Err(Reason::SignatureKey));
    let signed = sign_enveloped(&document(), "_r", &FORGER.key, &Default::default()).unwrap();
    assert_eq!(by_form(&signed), Err(Reason::SignatureKey));
}

#[test]
fn each_check_of_a_logout_has_its_reason() {
    for (old, new, reason) in [
        (SLO, "https://evil.example/", Reason::Destination),
        (ISSUER, "https://evil.example", Reason::Issuer),
        ("Version=\"2.0\"", "Version=\"1.1\"", Reason::Shape),
        ("LogoutRequest", "LogoutResponse", Reason::Logout),
        ("LogoutRequest", "AuthnRequest", Reason::Logout),
        (&at(-1), &at(61), Reason::NotYet),
        (&at(-1), &at(-360), Reason::Expired),
        (&at(-1), "today", Reason::Times),
        ("<saml:NameID>ada</saml:NameID>", "", Reason::NameId),
        (" ID=\"_r\"", " ID=\"\"", Reason::Logout),
    ] {
        let xml = document().replace(old, new);
        assert_ne!(xml, document());
        assert_eq!(by_query(&xml, Some(&IDP.key)), Err(reason), "{new}");
    }
    let ended = document().replace("Destination", &format!("NotOnOrAfter=\"{}\" Destination", at(-60)));
    assert_eq!(by_query(&ended, Some(&IDP.key)), Err(Reason::Expired));
}

#[test]
fn the_bytes_of_the_query_are_what_was_signed() {
    let query = redirect::write(Parameter::Request, &document(), Some("a b"), Some(&IDP.key)).unwrap();
    let judge = |query: &str| receive(Arrived::Query(query), SLO, NOW, &settings()).map_err(|fault| fault.reason);
    assert!(judge(&query).is_ok());
    // The same meaning in other bytes.
    assert_eq!(judge(&query.replace("a%20b", "%61%20b")), Err(Reason::SignatureKey));
    assert_eq!(judge(&query.replace("RelayState=a%20b", "RelayState=c")), Err(Reason::SignatureKey));
    let parts: Vec<&str> = query.split('&').collect();
    let [message, state, algorithm, signature] = parts[..] else { panic!("four parameters") };
    for order in [
        vec![state, message, algorithm, signature],
        vec![message, state, signature, algorithm],
        vec![message, state, algorithm, signature, "x=1"],
        vec![message, message, state, algorithm, signature],
        vec![message, state, state, algorithm, signature],
        vec![message, state, algorithm],
        vec![message, state, signature],
        vec![state],
        vec![],
    ] {
        assert_eq!(judge(&order.join("&")), Err(Reason::Unreadable), "{order:?}");
    }
    assert_eq!(judge(&[message, algorithm, signature].join("&")), Err(Reason::SignatureKey));
    let weak = query.replace("rsa-sha256", "rsa-sha1").replace("2001%2F04%2Fxmldsig-more", "2000%2F09%2Fxmldsig");
    assert_eq!(judge(&weak), Err(Reason::SignatureSha1));
    assert_eq!(judge(&query.replace("rsa-sha256", "hmac-sha256")), Err(Reason::SignatureAlgorithm));
}

/// pysaml2 writes queries as forms are written.
#[test]
fn a_relay_state_may_have_its_spaces_either_way() {
    let Sending::Redirect(location) = ask(&settings(), "_q", ACS, "", NOW).unwrap() else { panic!("a redirect") };
    let message = location.split_once('?').unwrap().1.split('&').next().unwrap();
    for (written, state) in [("a+b%2Bc", "a b+c"), ("a%20b%2bc", "a b+c"), ("%2Ba%26", "+a&")] {
        let read = Query::read(&format!("{message}&RelayState={written}")).map(|query| query.relay_state);
        assert_eq!(read, Ok(Some(state.to_owned())), "{written}");
    }
}

/// What a Salesforce org publishes, its logout switched on.
fn published() -> String {
    let certificate = STANDARD.encode(IDP.certificate.der());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><!-- org --><md:EntityDescriptor \
         xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" \
         entityID=\"{ISSUER}\" validUntil=\"2036-11-21T10:11:12.345Z\"><md:IDPSSODescriptor \
         WantAuthnRequestsSigned=\"false\" protocolSupportEnumeration=\"{PROTOCOL}\"><md:KeyDescriptor use=\"signing\">\
         <ds:KeyInfo><ds:X509Data><ds:X509Certificate>\n{certificate}\n</ds:X509Certificate></ds:X509Data></ds:KeyInfo>\
         </md:KeyDescriptor><md:SingleLogoutService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" \
         Location=\"{ISSUER}/services/auth/idp/saml2/logout\"/><md:NameIDFormat>{UNSPECIFIED}</md:NameIDFormat>\
         <md:SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" \
         Location=\"https://acme.my.site.com/idp/endpoint/HttpPost\"/><md:SingleSignOnService \
         Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" \
         Location=\"https://acme.my.site.com/idp/endpoint/HttpRedirect\"/></md:IDPSSODescriptor></md:EntityDescriptor>"
    )
}

#[test]
fn an_orgs_metadata_is_read() {
    let metadata = Metadata::read(&published()).unwrap();
    assert_eq!(metadata.entity_id, ISSUER);
    assert_eq!(metadata.certificates, std::slice::from_ref(&IDP.certificate));
    let bindings: Vec<_> = metadata.sign_in.iter().map(|(binding, url)| (*binding, url.path())).collect();
    assert_eq!(
        bindings,
        [(Binding::Post, "/idp/endpoint/HttpPost"), (Binding::Redirect, "/idp/endpoint/HttpRedirect")]
    );
    assert_eq!(metadata.sign_out.len(), 1);
    assert_eq!(metadata.requests, Requests::Unsigned);
    assert_eq!(metadata.valid_until, read_time("2036-11-21T10:11:12Z"));
}

#[test]
fn metadata_that_would_mislead_is_refused() {
    let certificate = STANDARD.encode(IDP.certificate.der());
    for (old, new) in [
        ("IDPSSODescriptor", "SPSSODescriptor"),
        ("EntityDescriptor", "EntitiesDescriptor"),
        ("https://acme.my.site.com/idp/endpoint/HttpPost", "javascript:alert(1)"),
        ("https://acme.my.site.com/idp/endpoint/HttpPost", "http://acme.my.site.com/"),
        ("https://acme.my.site.com/idp/endpoint/HttpPost", ""),
        (certificate.as_str(), ""),
        (certificate.as_str(), "AAAA"),
        ("use=\"signing\"", "use=\"encryption\""),
        ("SingleSignOnService", "ArtifactResolutionService"),
        ("entityID=", "id="),
        ("2036-11-21T10:11:12.345Z", "never"),
        ("<md:NameIDFormat>", "<!DOCTYPE x><md:NameIDFormat>"),
    ] {
        let bad = published().replace(old, new);
        assert_ne!(bad, published(), "{old}");
        assert!(Metadata::read(&bad).is_err(), "{old} -> {new}");
    }
    let script = published().replace("https://acme.my.site.com/idp/endpoint/HttpPost", "javascript:alert(1)");
    assert_eq!(Metadata::read(&script), Err(BadMetadata::Address("javascript:alert(1)".into())));
}

#[test]
fn our_metadata_says_who_we_are() {
    let others = ["https://docs.example.com/.portcullis/saml/acs".to_owned()];
    let text = write(&settings(), &[&[ACS.to_owned()], &others[..]].concat(), &[SLO.to_owned()]);
    let tree = roxmltree::Document::parse(&text).unwrap();
    assert_eq!(tree.root_element().attribute("entityID"), Some(US));
    let named = |name: &str| tree.descendants().filter(|node| node.tag_name().name() == name).collect::<Vec<_>>();
    let consumers: Vec<_> = named("AssertionConsumerService").iter().map(|node| node.attribute("Location")).collect();
    assert_eq!(consumers, [Some(ACS), Some(others[0].as_str())]);
    assert_eq!(named("AssertionConsumerService")[0].attribute("isDefault"), Some("true"));
    assert_eq!(named("SingleLogoutService").len(), 2);
    assert_eq!(named("KeyDescriptor").len(), 2);
    let mut plain = settings();
    plain.key = None;
    plain.sign_out = None;
    plain.sha1 = Sha1::Refused;
    let text = write(&plain, &[ACS.to_owned()], &[SLO.to_owned()]);
    assert!(!text.contains("KeyDescriptor") && !text.contains("SingleLogoutService"));
}
