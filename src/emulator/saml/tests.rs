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
async fn every_benign_oddity_signs_in() {
    let org = org().await;
    let settings = settings(&org);
    for &mischief in SamlMischief::ALL.iter().filter(|mischief| mischief.is_benign()) {
        org.set(mischief);
        let consumed = outcome(&org, &settings, &people::ACCENTED).await;
        let consumed = consumed.unwrap_or_else(|fault| panic!("{}: {fault:?}", mischief.name()));
        assert_eq!(consumed.identity.user.as_str(), people::ACCENTED.user, "{}", mischief.name());
    }
}

/// The check that is to notice.
fn noticed_by(mischief: SamlMischief) -> Option<Reason> {
    use SamlMischief as M;
    match mischief {
        M::Unsigned => Some(Reason::Unsigned),
        M::ForeignKey | M::EmbeddedKey | M::BrokenSignature => Some(Reason::SignatureKey),
        M::HmacWithCertificate => Some(Reason::SignatureAlgorithm),
        M::Sha1Digest | M::Sha1Named => Some(Reason::SignatureSha1),
        M::EditedAfterSigning => Some(Reason::SignatureDigest),
        M::EmptyReference | M::MissingReference => Some(Reason::SignatureReference),
        M::TwoReferences | M::XpathTransform | M::CommentsKept | M::SignatureObject | M::TwoSignatures => {
            Some(Reason::SignatureShape)
        }
        M::SiblingSignature => Some(Reason::SignatureReference),
        M::Xsw1 | M::Xsw2 | M::Xsw4 | M::Xsw6 | M::Xsw7 | M::Xsw8 => Some(Reason::Shape),
        M::Xsw3 | M::Xsw5 | M::InjectedAssertion | M::TwoAssertions => Some(Reason::SeveralAssertions),
        M::DuplicateIds => Some(Reason::DuplicateId),
        M::WrongIssuer | M::WrongAssertionIssuer | M::MissingIssuer => Some(Reason::Issuer),
        M::WrongAudience | M::LongerAudience | M::MissingAudience | M::MissingConditions | M::AnotherRestriction => {
            Some(Reason::Audience)
        }
        M::WrongRecipient | M::MissingRecipient => Some(Reason::Recipient),
        M::WrongDestination | M::MissingDestination => Some(Reason::Destination),
        M::WrongInResponseTo | M::WrongConfirmation | M::Unsolicited => Some(Reason::InResponseTo),
        M::Expired | M::ConfirmationExpired | M::ConditionsExpired | M::SessionEnded => Some(Reason::Expired),
        M::NotYetValid | M::ConditionsNotYet | M::IssuedLater | M::AuthenticatedLater => Some(Reason::NotYet),
        M::ConfirmationEndless | M::MalformedTime => Some(Reason::Times),
        M::HolderOfKey | M::MissingConfirmation | M::ConfirmationBegins => Some(Reason::Confirmation),
        M::MissingStatement => Some(Reason::NoAuthentication),
        M::MissingNameId | M::EmptyNameId | M::MissingSubject => Some(Reason::NameId),
        M::MissingUserId
        | M::UserIdTwice
        | M::UserIdTwoValues
        | M::MissingUsername
        | M::MalformedPortalUser
        | M::AttributeTwice => Some(Reason::Attribute),
        M::MalformedUserId => Some(Reason::UserId),
        M::UnknownCondition => Some(Reason::Condition),
        M::WrongVersion => Some(Reason::Shape),
        M::StatusDenied | M::StatusDeniedWithAssertion => Some(Reason::Refused),
        M::MissingAssertion => Some(Reason::NoAssertion),
        M::CommentInNameId
        | M::CommentInAttribute
        | M::CdataInNameId
        | M::InstructionInNameId
        | M::EntityInNameId
        | M::ExternalEntity
        | M::DocumentType
        | M::EntityExpansion
        | M::DeepNesting
        | M::ManyAttributes
        | M::Oversized => Some(Reason::TooMuch),
        M::NotXml | M::NotBase64 | M::Deflated => Some(Reason::Unreadable),
        M::EmptyResponse => Some(Reason::Shape),
        _ => None,
    }
}

#[tokio::test]
async fn every_mischief_fails_at_the_check_that_it_was_made_for() {
    let org = org().await;
    let settings = settings(&org);
    let mut odd = Vec::new();
    let refused = |mischief: &&SamlMischief| !mischief.is_benign() && mischief.touches() == Touches::Response;
    for &mischief in SamlMischief::ALL.iter().filter(refused) {
        org.set(mischief);
        match outcome(&org, &settings, &people::STANDARD).await {
            Ok(_) => odd.push(format!("{}: accepted", mischief.name())),
            Err(fault) if noticed_by(mischief) == Some(fault.reason) => {}
            Err(fault) => odd.push(format!("{}: {fault:?}", mischief.name())),
        }
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
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

#[tokio::test]
async fn the_metadata_is_read_by_the_gateway() {
    let org = org().await;
    let address = format!("{}{METADATA}", org.org_url());
    let plain = get(&address).await.body;
    let metadata = Metadata::read(&plain).unwrap();
    assert_eq!(metadata.entity_id, org.org_url());
    assert_eq!(metadata.certificates, Certificate::from_pem(&org.certificate()).unwrap());
    assert_eq!(metadata.sign_in[0].0, saml::Binding::Post, "POST comes first");
    assert_eq!(metadata.sign_in[1].1.path(), HTTP_REDIRECT);
    assert!(metadata.sign_out.is_empty() && plain.matches("NameIDFormat>").count() == 2);
    let years = metadata.valid_until.unwrap().since(Timestamp::now()).as_secs() / (365 * 24 * 3600);
    assert_eq!(years, 10);
    // behaviour 28: the endpoints move, the name stays
    org.configure(|app| {
        app.saml.host = EndpointHost::Site;
        app.saml.single_logout = Some(SingleLogout { url: LOGGED_OUT.to_owned(), binding: Binding::Post });
        app.saml.certificate = InUse::Renewed;
    });
    let moved = Metadata::read(&get(&address).await.body).unwrap();
    assert_eq!(moved.entity_id, org.org_url());
    assert!(moved.sign_in.iter().all(|(_, url)| url.as_str().starts_with(org.site_url())));
    assert_eq!(moved.sign_out.len(), 2);
    assert_ne!(moved.certificates, metadata.certificates);
    assert_eq!(get(&format!("{}{METADATA}", org.login_url())).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_site_signs_in_under_the_name_of_my_domain() {
    let org = org().await;
    let sso_url = url::Url::parse(&format!("{}{HTTP_REDIRECT}", org.site_url())).unwrap();
    let settings = Settings { sso_url, ..settings(&org) };
    let mut browser = Browser::new(&org);
    let Sending::Redirect(address) = saml::ask(&settings, QUESTION, ACS, "s", Timestamp::now()).unwrap() else {
        panic!("not a redirect");
    };
    let site = org.site_url().strip_suffix("/portal").unwrap();
    let onward = browser.go(&address, None).await.location().to_owned();
    browser
        .go(&format!("{site}/portal/login"), Some(&[("startURL", &onward), ("person", people::PARTNER.username)]))
        .await;
    browser.go(&format!("{site}{onward}"), None).await;
    judge(&org, &settings).unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_breaks_who_pinned_the_first() {
    let org = org().await;
    let pinned = settings(&org);
    org.configure(|app| app.saml.certificate = InUse::Renewed);
    assert_eq!(outcome(&org, &pinned, &people::STANDARD).await.unwrap_err().reason, Reason::SignatureKey);
    let both = Settings { certificates: [pinned.certificates.clone(), settings(&org).certificates].concat(), ..pinned };
    outcome(&org, &both, &people::STANDARD).await.unwrap();
}

#[tokio::test]
async fn older_apps_sign_less() {
    let org = org().await;
    let settings = settings(&org);
    for (signed, lines) in [(Signed::Response, Lines::One), (Signed::Assertion, Lines::CarriageReturns)] {
        org.configure(|app| (app.saml.signed, app.saml.lines) = (signed, lines));
        outcome(&org, &settings, &people::STANDARD).await.unwrap();
        assert_eq!(xml(&org).matches("<ds:SignatureValue>").count(), 1);
    }
}

/// What the gateway makes of the org's latest logout message.
async fn heard(reply: Reply, org: &Running, settings: &Settings) -> Result<Logout, Fault> {
    let now = Timestamp::now();
    if reply.status.is_redirection() {
        let (address, query) = reply.location().split_once('?').unwrap();
        assert_eq!(address, LOGGED_OUT);
        return receive(Arrived::Query(query), LOGGED_OUT, now, settings);
    }
    let form = org.last_saml_form().unwrap();
    let (name, message) = form.fields[0].clone();
    let parameter = if name == "SAMLRequest" { Parameter::Request } else { Parameter::Response };
    let relay_state = form.field("RelayState");
    receive(Arrived::Form { parameter, message: &message, relay_state }, LOGGED_OUT, now, settings)
}

#[tokio::test]
async fn signing_out_at_the_gateway_ends_the_session_at_the_org() {
    let org = org().await;
    let settings = settings(&org);
    for binding in [Binding::Redirect, Binding::Post] {
        let url = LOGGED_OUT.to_owned();
        org.configure(|app| {
            app.saml.single_logout = Some(SingleLogout { url, binding });
            app.saml.request_certificate = Some(our_pem().certificate.clone());
        });
        let settings = Settings { requests: Requests::Signed, ..settings.clone() };
        let mut browser = Browser::new(&org);
        browser.sign_in(&settings, &people::STANDARD).await;
        let consumed = judge(&org, &settings).unwrap();
        let index = consumed.session_index.as_deref();
        assert!(index.is_some());
        let now = Timestamp::now();
        let request = |name: &NameId| saml::logout::request(&settings, "_bye", name, index, Some("a b"), now).unwrap();
        let other = NameId { value: people::ADMINISTRATOR.username.to_owned(), ..consumed.name_id.clone() };
        let page = browser.send(request(&other), &people::STANDARD).await;
        assert!(page.body.contains("UnableToResolve"), "somebody else's session");
        let reply = browser.send(request(&consumed.name_id), &people::STANDARD).await;
        let answer = heard(reply, &org, &settings).await.unwrap();
        let Logout::Response { in_response_to, outcome, relay_state } = answer else { panic!("{answer:?}") };
        assert_eq!((in_response_to.as_str(), outcome), ("_bye", Outcome::SignedOut));
        assert_eq!(relay_state.as_deref(), Some("a b"));
        let before = org.count("sign-in");
        browser.sign_in(&settings, &people::STANDARD).await;
        assert_eq!(org.count("sign-in"), before + 1, "the session is gone");
    }
}

#[tokio::test]
async fn signing_out_at_the_org_tells_the_gateway() {
    let org = org().await;
    let settings = settings(&org);
    let page = format!("{}/secur/logout.jsp", org.org_url());
    for binding in [Binding::Redirect, Binding::Post] {
        let single_logout = Some(SingleLogout { url: LOGGED_OUT.to_owned(), binding });
        org.configure(|app| app.saml.single_logout = single_logout);
        let mut browser = Browser::new(&org);
        browser.sign_in(&settings, &people::STANDARD).await;
        let index = judge(&org, &settings).unwrap().session_index.unwrap();
        let reply = browser.go(&page, Some(&[])).await;
        let request = heard(reply, &org, &settings).await.unwrap();
        let Logout::Request { id, name_id, session_indexes, .. } = request else { panic!("{request:?}") };
        assert_eq!((name_id.value.as_str(), session_indexes), (people::STANDARD.username, vec![index]));
        let now = Timestamp::now();
        let answer = || saml::logout::response(&settings, "_fine", &id, Outcome::SignedOut, None, now).unwrap();
        let last = browser.send(answer(), &people::STANDARD).await;
        assert_eq!(last.status, StatusCode::OK, "{}", last.body);
        assert_eq!(browser.send(answer(), &people::STANDARD).await.status, StatusCode::BAD_REQUEST, "answered once");
        for &mischief in SamlMischief::ALL.iter().filter(|mischief| mischief.touches() == Touches::Logout) {
            browser.sign_in(&settings, &people::STANDARD).await;
            org.set(mischief);
            let reply = browser.go(&page, Some(&[])).await;
            assert!(heard(reply, &org, &settings).await.is_err(), "{} by {binding:?}", mischief.name());
            org.behave();
        }
    }
    assert_eq!(org.count("saml-logout-answered"), 2);
}

#[tokio::test]
async fn a_spoiled_form_has_other_fields() {
    let org = org().await;
    let settings = settings(&org);
    for (mischief, expected) in [
        (SamlMischief::ResponseTwice, vec!["SAMLResponse", "SAMLResponse", "RelayState=the-state"]),
        (SamlMischief::RelayStateChanged, vec!["SAMLResponse", "RelayState=etats-eht"]),
        (SamlMischief::RelayStateMissing, vec!["SAMLResponse"]),
        (SamlMischief::RelayStateTwice, vec!["SAMLResponse", "RelayState=the-state", "RelayState=another"]),
        (SamlMischief::RelayStateElsewhere, vec!["SAMLResponse", "RelayState=https://elsewhere.my.salesforce.com/"]),
    ] {
        assert_eq!(mischief.touches(), Touches::Form);
        org.set(mischief);
        Browser::new(&org).sign_in(&settings, &people::STANDARD).await;
        let describe = |(name, value): &(&str, String)| match *name {
            "SAMLResponse" => "SAMLResponse".to_owned(),
            name => format!("{name}={value}"),
        };
        assert_eq!(org.last_saml_form().unwrap().fields.iter().map(describe).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn spoiled_metadata_is_not_believed() {
    let org = org().await;
    let address = format!("{}{METADATA}", org.org_url());
    for &mischief in SamlMischief::ALL.iter().filter(|mischief| mischief.touches() == Touches::Metadata) {
        org.set(mischief);
        let Some(reply) = ask(&address, &[], None).await else {
            assert_eq!(mischief, SamlMischief::MetadataDown);
            continue;
        };
        let believed = Metadata::read(&reply.body).is_ok_and(|metadata| {
            metadata.entity_id == org.org_url() && metadata.valid_until.unwrap() > Timestamp::now()
        });
        assert!(!believed, "{}", mischief.name());
    }
}

#[tokio::test]
async fn the_shared_login_host_is_no_identity_provider() {
    let org = org().await;
    for path in [HTTP_REDIRECT, HTTP_POST, IDP_LOGIN, LOGOUT] {
        assert_eq!(post(&format!("{}{path}", org.login_url()), &[]).await.status, StatusCode::NOT_FOUND);
    }
}
