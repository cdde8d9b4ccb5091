//! Identity headers: what is rendered of a person, and every spelling that goes.

use super::*;
use crate::identity::tests::identity;
use hyper::header::HeaderValue;
use proptest::prelude::*;

fn injector() -> Injector {
    Injector::new(&Settings {
        presets: vec![Preset::Forwarded, Preset::Salesforce],
        custom: vec![
            (
                HeaderName::from_static("x-department"),
                Source::Claim(vec!["custom_attributes".into(), "department".into()]),
            ),
            (HeaderName::from_static("x-roles"), Source::Claim(vec!["roles".into()])),
            (HeaderName::from_static("x-nothing"), Source::Claim(vec!["address".into(), "street".into()])),
        ],
    })
}

#[test]
fn nobody_tells_of_a_certificate_but_who_is_asked_to() {
    let managed = |source| {
        let custom = vec![(HeaderName::from_static("x-device"), source)];
        Injector::new(&Settings { presets: Vec::new(), custom }).managed
    };
    let told = managed(Source::Certificate(Part::Subject));
    for name in ["x-device", "client-cert", "Client_Cert", "client-cert-chain", "CLIENT_CERT-CHAIN"] {
        assert!(told.contains(name) && told.may_begin_with(name.as_bytes()[0]), "{name}");
    }
    assert!(!told.contains("client-certificate-hint"));
    assert!(!managed(Source::Name).contains("client-cert"), "an app may speak with its clients of it");
}

fn rendered(identity: &Identity, name: &str) -> Option<String> {
    let headers = injector().render(identity);
    let value = |(_, value): (&HeaderName, &[u8])| String::from_utf8(value.to_vec()).unwrap();
    headers.iter().find(|(theirs, _)| *theirs == name).map(value)
}

#[test]
fn a_person_is_rendered() {
    let identity = identity();
    assert_eq!(rendered(&identity, "x-salesforce-user-id").unwrap(), identity.user.to_string());
    assert_eq!(
        rendered(&identity, "x-forwarded-user").unwrap(),
        format!("{}@{}", identity.user, identity.organization)
    );
    assert_eq!(rendered(&identity, "x-nothing"), None);
}

#[test]
fn what_is_not_ascii_has_one_encoding() {
    let mut person = identity();
    person.claims.insert("roles".into(), serde_json::json!(["Zoë, head", "100%", 7]));
    person.email = Some("jürgen\r\nX-Evil: 1@example.com".into());
    assert_eq!(rendered(&person, "x-forwarded-email").unwrap(), "j%C3%BCrgen%0D%0AX-Evil: 1@example.com");
    assert_eq!(rendered(&person, "x-roles").unwrap(), "Zo%C3%AB%2C head,100%25,7");
    person.email = Some("e".repeat(MAX_VALUE + 1));
    assert_eq!(rendered(&person, "x-forwarded-email"), None);
    person.email = Some("  ".into());
    assert_eq!(rendered(&person, "x-forwarded-email"), None);
}

#[test]
fn what_looks_like_an_escaped_comma_is_told_from_a_comma() {
    let mut told = Vec::new();
    for roles in [
        serde_json::json!("a%2Cb"),
        serde_json::json!("a,b"),
        serde_json::json!(["a,b"]),
        serde_json::json!(["a%2Cb"]),
        serde_json::json!(["a%252Cb"]),
        serde_json::json!(["a", " b", "\u{2000}b "]),
    ] {
        let mut person = identity();
        person.claims.insert("roles".into(), roles);
        told.push(rendered(&person, "x-roles").unwrap());
    }
    assert_eq!(told, ["a%252Cb", "a,b", "a%2Cb", "a%252Cb", "a%25252Cb", "a, b,%E2%80%80b"]);
}

#[test]
fn every_spelling_of_a_managed_name_goes() {
    let injector = injector();
    let spellings = [
        "X-Forwarded-User",
        "x_forwarded_user",
        "X.Forwarded.User",
        "x~forwarded-user",
        "X-FORWARDED_EMAIL",
        "x-salesforce-user-id",
        "X_Salesforce_Anything",
        "remote-user",
        "REMOTE_USER",
        "x-auth-request-email",
        "x-department",
        "X_Department",
        "x-portcullis-assertion",
        "remote-groups",
        "REMOTE_GROUPS",
        "x-auth-request-groups",
        "X_Auth_Request_Access_Token",
        "x-webauth-role",
        "X_Remote_Group",
    ];
    for name in spellings {
        assert!(injector.managed().contains(name.to_ascii_lowercase()), "{name}");
        let mut headers = HeaderMap::new();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("evil"));
        headers.append("accept", HeaderValue::from_static("*/*"));
        injector.remove_claims(&mut headers);
        assert_eq!(headers.len(), 1, "{name}");
    }
    for name in ["x-forwarded-for", "user-agent", "x-depart", "x-departments", "x-sales", "xforwardeduser"] {
        assert!(!injector.managed().contains(name), "{name}");
    }
}

#[test]
fn every_family_is_found_by_its_letters() {
    for family in FAMILIES {
        let name = format!("{}anything", std::str::from_utf8(family).unwrap());
        assert!(injector().managed().contains(&name), "{name}");
    }
}

proptest! {
    #[test]
    fn folding_finds_every_variant(separators in prop::collection::vec("[-_.~!#$&'*+^`|]", 2)) {
        let name = format!("x{}forwarded{}user", separators[0], separators[1]);
        prop_assert!(injector().managed().contains(&name));
    }

    #[test]
    fn an_encoded_value_decodes_to_the_original(text in "\\PC{0,40}") {
        let encoded = finish(&text);
        prop_assert!(encoded.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        prop_assert_eq!(percent_encoding::percent_decode_str(&encoded).decode_utf8().unwrap(), text.trim());
    }
}
