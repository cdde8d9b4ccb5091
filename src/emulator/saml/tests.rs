//! The pretend identity provider over loopback, judged by the gateway's own `identity::saml`.
//!
//! Each mischief must fail at the very check that it was made for, or it would prove nothing about that check.

use hyper::StatusCode;
use hyper::header::SET_COOKIE;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::app::{Binding, Encryption, EndpointHost, Formula, InUse, NameIdFormat, Signed, SingleLogout, Subject};
use super::*;
use crate::emulator::tests::{Reply, ask, get, post, ring};
use crate::emulator::{Emulator, Running, Settings as OrgSettings};
use crate::identity::saml::logout::{Arrived, Logout, Outcome, receive};
use crate::identity::saml::metadata::Metadata;
use crate::identity::saml::{
    self, Asked, Consumed, Fault, NameId, Organization, OurKey, Parameter, Reason, Reauthentication, Requests, Sending,
    Settings, SignOut, Unsolicited,
};
use crate::identity::xmldsig::{self, Certificate, Cipher, Lines, Sha1};
use crate::identity::{OrgId, ProviderName};

mod logout;
mod metadata;
mod mischief;

const ENTITY: &str = "http://localhost:1/.portcullis/saml/metadata";
const ACS: &str = "http://localhost:1/.portcullis/saml/acs";
const LOGGED_OUT: &str = "http://localhost:1/.portcullis/saml/logout";
const QUESTION: &str = "_question";

async fn org() -> Running {
    let running = Emulator::start(OrgSettings { keys: Some(ring()), ..OrgSettings::default() }).await.unwrap();
    running.register_saml(ENTITY, ACS);
    running
}

struct OurPem {
    key: String,
    certificate: String,
}

fn our_pem() -> &'static OurPem {
    static PEM: OnceLock<OurPem> = OnceLock::new();
    PEM.get_or_init(|| {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
        OurPem { key: key.serialize_pem(), certificate }
    })
}

/// What an administrator would write for this org.
fn settings(org: &Running) -> Settings {
    let ours = OurKey::from_pem(&our_pem().key, &our_pem().certificate).unwrap();
    Settings {
        name: ProviderName("pretend".to_owned()),
        issuer: org.org_url().to_owned(),
        sso_url: url::Url::parse(&format!("{}{HTTP_REDIRECT}", org.org_url())).unwrap(),
        binding: saml::Binding::Redirect,
        sign_out: Some(SignOut {
            url: url::Url::parse(&format!("{}{LOGOUT}", org.org_url())).unwrap(),
            binding: saml::Binding::Redirect,
        }),
        certificates: Certificate::from_pem(&org.certificate()).unwrap(),
        entity_id: ENTITY.to_owned(),
        key: Some(Arc::new(ours)),
        requests: Requests::Unsigned,
        reauthentication: Reauthentication::Unneeded,
        unsolicited: Unsolicited::Refused,
        organization: Organization::Known(OrgId::parse(HOME_ORGANIZATION).unwrap()),
        clock_skew: Duration::from_secs(60),
        sha1: Sha1::Refused,
    }
}

/// A browser, as far as the org sees it.
struct Browser<'o> {
    org: &'o Running,
    cookie: String,
}

impl<'o> Browser<'o> {
    fn new(org: &'o Running) -> Self {
        Self { org, cookie: String::new() }
    }

    async fn go(&mut self, url: &str, form: Option<&[(&str, &str)]>) -> Reply {
        let reply = ask(url, &[("cookie", &self.cookie)], form).await.unwrap();
        if let Some(set) = reply.headers.get(SET_COOKIE) {
            self.cookie = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        }
        reply
    }

    /// Follows redirects within the org, and signs in as `person` when asked to.
    async fn follow(&mut self, mut reply: Reply, person: &Person) -> Reply {
        while reply.status.is_redirection() {
            let location = reply.location().to_owned();
            if !location.starts_with('/') {
                break;
            }
            let address = format!("{}{location}", self.org.org_url());
            reply = match location.split_once("startURL=") {
                Some((_, onward)) => {
                    let onward = percent_encoding::percent_decode_str(onward).decode_utf8().unwrap();
                    let form = [("startURL", onward.as_ref()), ("person", person.username)];
                    self.go(&format!("{}/login", self.org.org_url()), Some(&form)).await
                }
                None => self.go(&address, None).await,
            };
        }
        reply
    }

    async fn send(&mut self, sending: Sending, person: &Person) -> Reply {
        let reply = match sending {
            Sending::Redirect(address) => self.go(&address, None).await,
            Sending::Post { action, fields } => {
                let fields: Vec<(&str, &str)> = fields.iter().map(|field| (field.0, field.1.as_str())).collect();
                let mut stranger = String::new();
                // what comes from another site comes without the cookie
                std::mem::swap(&mut stranger, &mut self.cookie);
                let reply = self.go(&action, Some(&fields)).await;
                self.cookie = stranger;
                reply
            }
        };
        self.follow(reply, person).await
    }

    async fn sign_in(&mut self, settings: &Settings, person: &Person) -> Reply {
        let sending = saml::ask(settings, QUESTION, ACS, "the-state", Timestamp::now()).unwrap();
        self.send(sending, person).await
    }
}

fn judge(org: &Running, settings: &Settings) -> Result<Consumed, Fault> {
    let form = org.last_saml_form().unwrap();
    let now = Timestamp::now();
    let asked = Some(Asked { id: QUESTION, at: now });
    let consumed =
        saml::consume(form.field("SAMLResponse").unwrap(), form.field("RelayState"), asked, ACS, now, settings)?;
    let vouched = saml::oracle::vouches(&xml(org), settings);
    assert!(matches!(vouched, Ok(1..)), "another verifier: {vouched:?}");
    Ok(consumed)
}

async fn outcome(org: &Running, settings: &Settings, person: &Person) -> Result<Consumed, Fault> {
    let page = Browser::new(org).sign_in(settings, person).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    judge(org, settings)
}

fn xml(org: &Running) -> String {
    let form = org.last_saml_form().unwrap();
    String::from_utf8(xmldsig::decode(form.field("SAMLResponse").unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn somebody_signs_in_by_either_binding() {
    let org = org().await;
    for (binding, path) in [(saml::Binding::Redirect, HTTP_REDIRECT), (saml::Binding::Post, HTTP_POST)] {
        let sso_url = url::Url::parse(&format!("{}{path}", org.org_url())).unwrap();
        let settings = Settings { binding, sso_url, ..settings(&org) };
        let consumed = outcome(&org, &settings, &people::ADMINISTRATOR).await.unwrap();
        assert_eq!(consumed.identity.user.as_str(), people::ADMINISTRATOR.user);
        assert_eq!(consumed.name_id.value, people::ADMINISTRATOR.username);
        assert_eq!(org.last_saml_form().unwrap().field("RelayState"), Some("the-state"));
    }
    assert_eq!(org.events(), [Event::Success, Event::Success]);
}

#[tokio::test]
async fn the_response_has_salesforces_shape() {
    let org = org().await;
    let page = Browser::new(&org).sign_in(&settings(&org), &people::PARTNER).await;
    assert!(page.body.contains("<noscript>") && page.body.contains("document.forms[0].submit()"));
    let xml = xml(&org);
    assert_eq!(xml.matches("<ds:SignatureValue>\n").count(), 2, "both signed, each with a leading newline");
    assert!(xml.contains("PrefixList=\"ds saml samlp xs xsi\"") && xml.contains("PrefixList=\"ds saml xs xsi\""));
    assert!(xml.contains("xsi:type=\"xs:anyType\">0055g00000PrtNr<"), "15 characters");
    assert!(xml.contains("Name=\"is_portal_user\"") && xml.contains(">true</saml:AttributeValue>"));
    assert!(xml.contains("urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified") && !xml.contains("SessionIndex"));
    let tree = roxmltree::Document::parse(&xml).unwrap();
    let id = tree.root_element().attribute("ID").unwrap();
    assert!(id.starts_with('_') && id.len() == 1 + 32 + 13 && id[33..].bytes().all(|byte| byte.is_ascii_digit()));
    let conditions = tree.descendants().find(|node| node.has_tag_name((xmldsig::ASSERTION, "Conditions")));
    let time = |name| saml::read_time(conditions.unwrap().attribute(name).unwrap()).unwrap();
    assert_eq!(time("NotOnOrAfter").since(time("NotBefore")), Duration::from_secs(330));
}

#[tokio::test]
async fn what_is_encrypted_is_read_by_its_addressee_alone() {
    let org = org().await;
    let settings = settings(&org);
    for cipher in [Cipher::Aes128Gcm, Cipher::Aes256Gcm, Cipher::Aes128Cbc, Cipher::Aes256Cbc] {
        let encryption = Encryption { certificate: our_pem().certificate.clone(), cipher };
        org.configure(|app| app.saml.encryption = Some(encryption));
        org.behave();
        outcome(&org, &settings, &people::STANDARD).await.unwrap();
        assert!(!xml(&org).contains(people::STANDARD.username));
        for mischief in SamlMischief::ALL.iter().filter(|mischief| mischief.touches() == Touches::Encryption) {
            org.set(*mischief);
            let fault = outcome(&org, &settings, &people::STANDARD).await.unwrap_err();
            assert_eq!(fault.reason, Reason::Undecryptable, "{}", mischief.name());
        }
    }
}

#[tokio::test]
async fn subjects_formats_and_attributes_are_the_administrators() {
    let org = org().await;
    org.configure(|app| {
        app.saml.name_id_format = NameIdFormat::Persistent;
        app.saml.subject = Subject::FederationId;
        app.saml.attributes = vec![
            ("roles".to_owned(), Formula::Roles),
            ("org".to_owned(), Formula::OrganizationId),
            ("fixed".to_owned(), Formula::Text(vec!["agent".to_owned()])),
            ("type".to_owned(), Formula::UserType),
            ("name".to_owned(), Formula::Name),
        ];
    });
    let settings = Settings { organization: Organization::Attribute("org".to_owned()), ..settings(&org) };
    let consumed = outcome(&org, &settings, &people::ADMINISTRATOR).await.unwrap();
    assert_eq!(consumed.name_id.value, "E1001");
    assert_eq!(consumed.identity.organization.as_str(), HOME_ORGANIZATION);
    assert!(xml(&org).contains(">admin<") && xml(&org).contains(">agent<"));
    org.configure(|app| app.saml.subject = Subject::UserId);
    assert_eq!(outcome(&org, &settings, &people::PARTNER).await.unwrap().name_id.value, "0055g00000PrtNr");
    // behaviour 30: shown at the org, and nothing sent
    org.configure(|app| app.saml.subject = Subject::FederationId);
    let page = Browser::new(&org).sign_in(&settings, &people::PARTNER).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.body.contains("NoUserFedId") && !page.body.contains("SAMLResponse"));
}

#[tokio::test]
async fn who_may_not_use_the_app_learns_it_at_the_org() {
    let org = org().await;
    let settings = settings(&org);
    for (person, event) in [
        (people::NOT_APPROVED, Event::AppAccessDenied),
        (people::INACTIVE, Event::Unresolvable),
        (people::FOREIGNER, Event::Unresolvable),
    ] {
        let page = Browser::new(&org).sign_in(&settings, &person).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        assert!(page.body.contains(event.code()) && !page.body.contains("SAMLResponse"));
    }
    org.configure(|app| app.permitted = Permitted::Everybody);
    outcome(&org, &settings, &people::NOT_APPROVED).await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_not_the_apps_is_shown_and_not_answered() {
    let org = org().await;
    let settings = settings(&org);
    let stranger = Settings { entity_id: "http://localhost:2/another".to_owned(), ..settings.clone() };
    let lost =
        Settings { sso_url: url::Url::parse(&format!("{}{HTTP_POST}", org.org_url())).unwrap(), ..settings.clone() };
    let now = Timestamp::now();
    let lost = match saml::ask(&lost, QUESTION, ACS, "s", now).unwrap() {
        Sending::Redirect(address) => Sending::Redirect(address.replace(HTTP_POST, HTTP_REDIRECT)),
        other => other,
    };
    for (sending, event) in [
        (saml::ask(&stranger, QUESTION, ACS, "s", now).unwrap(), Event::InvalidServiceProvider),
        (saml::ask(&settings, QUESTION, "http://localhost:1/acs", "s", now).unwrap(), Event::InvalidAuthnRequest),
        (saml::ask(&settings, "1digit", ACS, "s", now).unwrap(), Event::InvalidAuthnRequest),
        (lost, Event::InvalidEndpoint),
        (Sending::Redirect(format!("{}{HTTP_REDIRECT}?SAMLRequest=x", org.org_url())), Event::InvalidAuthnRequest),
    ] {
        let page = Browser::new(&org).send(sending, &people::STANDARD).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        assert!(page.body.contains(event.code()), "{}", page.body);
    }
    assert!(org.last_saml_form().is_none());
}

#[tokio::test]
async fn signatures_of_requests_are_verified_when_the_app_says_so() {
    let org = org().await;
    org.configure(|app| app.saml.request_certificate = Some(our_pem().certificate.clone()));
    let unsigned = settings(&org);
    let page = Browser::new(&org).sign_in(&unsigned, &people::STANDARD).await;
    assert!(page.body.contains("InvalidSignature"));
    for (binding, path) in [(saml::Binding::Redirect, HTTP_REDIRECT), (saml::Binding::Post, HTTP_POST)] {
        let sso_url = url::Url::parse(&format!("{}{path}", org.org_url())).unwrap();
        let signed = Settings { binding, sso_url, requests: Requests::Signed, ..settings(&org) };
        outcome(&org, &signed, &people::STANDARD).await.unwrap();
    }
    let signed = Settings { requests: Requests::Signed, ..settings(&org) };
    let Sending::Redirect(address) = saml::ask(&signed, QUESTION, ACS, "s", Timestamp::now()).unwrap() else {
        panic!("not a redirect");
    };
    let page = get(&address.replace("RelayState=s", "RelayState=t")).await;
    assert!(page.body.contains("InvalidSignature"), "the relay state is signed too");
}

#[tokio::test]
async fn force_authn_asks_for_the_person_again() {
    let org = org().await;
    let settings = settings(&org);
    let mut browser = Browser::new(&org);
    browser.sign_in(&settings, &people::STANDARD).await;
    let asked = org.count("sign-in");
    browser.sign_in(&settings, &people::ADMINISTRATOR).await;
    assert_eq!(org.count("sign-in"), asked, "a session will do");
    assert_eq!(judge(&org, &settings).unwrap().name_id.value, people::STANDARD.username);
    let again = Settings { reauthentication: Reauthentication::Required, ..settings };
    browser.sign_in(&again, &people::ADMINISTRATOR).await;
    assert_eq!(judge(&org, &again).unwrap().name_id.value, people::ADMINISTRATOR.username);
    assert!(org.events().contains(&Event::ForcedAgain));
    org.set(SamlMischief::AuthenticatedEarlier);
    browser.sign_in(&again, &people::ADMINISTRATOR).await;
    assert_eq!(judge(&org, &again).unwrap_err().reason, Reason::NotAgain);
}

#[tokio::test]
async fn a_sign_in_that_begins_at_the_org_answers_nothing() {
    let org = org().await;
    let settings = settings(&org);
    for link in ["apiName=Portcullis", "app=0sp5g000000Prtc"] {
        let address = format!("{}{IDP_LOGIN}?{link}&RelayState=%2Freports", org.org_url());
        Browser::new(&org).send(Sending::Redirect(address), &people::STANDARD).await;
        let form = org.last_saml_form().unwrap();
        assert!(!xml(&org).contains("InResponseTo"));
        let judge = |settings: &Settings| {
            let response = form.field("SAMLResponse").unwrap();
            saml::consume(response, form.field("RelayState"), None, ACS, Timestamp::now(), settings)
        };
        assert_eq!(judge(&settings).unwrap_err().reason, Reason::Unsolicited);
        let open = Settings { unsolicited: Unsolicited::Accepted, ..settings.clone() };
        assert_eq!(judge(&open).unwrap().return_to.unwrap().as_str(), "/reports");
    }
    let page = get(&format!("{}{IDP_LOGIN}?app=another", org.org_url())).await;
    assert!(page.body.contains("InvalidSp"));
}
