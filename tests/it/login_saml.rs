//! SAML with Salesforce: every way that it is set up, every way that it is odd, every way that it is wrong.

use portcullis::emulator::saml::app::{Binding, Encryption, EndpointHost, Formula, InUse, Signed, Subject};
use portcullis::emulator::saml::{Event, IDP_LOGIN, Touches};
use portcullis::emulator::{Mischief, SamlMischief, people};
use portcullis::identity::xmldsig::Cipher;
use url::Url;

use crate::browser::{Browser, Reply};
use crate::world::{Base, World};

mod logout;
mod unasked;

const STANDARD: &str = people::STANDARD.username;

/// Signs the standard user in at a deep link, and sees that it is them who arrives there.
async fn everybody_gets_in(world: &World) -> Browser {
    let before = world.app.hits();
    let mut browser = world.browser();
    let page = world.at("/page?x=1&y=a%20b");
    let reply = browser.try_sign_in(&page, STANDARD, "allow").await;
    assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, page.as_str()), "{}", reply.body);
    assert_eq!(world.app.hits(), before + 1);
    let seen = world.app.last();
    assert_eq!(seen.one("x-salesforce-user-id").as_deref(), Some(people::STANDARD.user));
    assert_eq!(seen.one("x-salesforce-organization-id").as_deref(), Some(people::HOME_ORGANIZATION));
    assert_eq!(seen.one("cookie"), None, "the app never sees our cookies");
    browser
}

/// Lets the standard user try, sees that they stay outside and that the page explains it; returns the code.
async fn nobody_gets_in(world: &World) -> String {
    let mut browser = world.browser();
    let reply = browser.try_sign_in(&world.at("/page"), STANDARD, "allow").await;
    stays_outside(world, &mut browser, &reply).await
}

async fn stays_outside(world: &World, browser: &mut Browser, reply: &Reply) -> String {
    let code = reply.refusal();
    assert!(reply.status.is_client_error() || reply.status.is_server_error(), "{code}: {}", reply.status);
    assert_ne!(reply.status, 500, "{code}");
    assert!(reply.body.contains("For your administrator"), "{code}: {}", reply.body);
    assert_eq!(browser.cookie(world.host(), world.session_cookie()), None, "{code}");
    let again = browser.get(world.at("/page")).await;
    assert_ne!(world.app.hits(), 1, "{code}: {}", again.status);
    assert_eq!(world.metric("portcullis_sessions").await, 0, "{code}");
    code
}

fn acs(world: &World) -> Url {
    Url::parse(&world.at("/.portcullis/saml/acs")).unwrap()
}

// Signing in.

#[tokio::test]
async fn a_deep_link_survives_the_sign_in() {
    let world = World::with().saml().start().await;
    everybody_gets_in(&world).await;
    let seen = world.app.last();
    assert_eq!(seen.target, "/page?x=1&y=a%20b");
    assert_eq!(seen.one("x-forwarded-email").unwrap(), people::STANDARD.email);
    assert_eq!(seen.one("x-forwarded-preferred-username").unwrap(), people::STANDARD.username);
    assert_eq!(seen.one("x-salesforce-user-type").unwrap(), "STANDARD");
}

#[tokio::test]
async fn the_same_person_is_the_same_by_either_protocol() {
    let key = async |world: &World| {
        world.signed_in().await;
        world.app.last().one("x-forwarded-user").unwrap()
    };
    let (saml, oidc) = (World::with().saml().start().await, World::new().await);
    assert_eq!(key(&saml).await, key(&oidc).await);
}

#[tokio::test]
async fn both_bindings_sign_in() {
    for binding in [Binding::Redirect, Binding::Post] {
        everybody_gets_in(&World::with().saml_binding(binding).start().await).await;
        let signed = World::with().saml_binding(binding).saml_key().saml_lines("sign_requests = true").start().await;
        everybody_gets_in(&signed).await;
        let request = signed.org.last_saml_request().unwrap();
        assert_eq!(request.contains("<ds:Signature"), binding == Binding::Post, "{request}");
    }
}

#[tokio::test]
async fn a_form_to_salesforce_has_a_button_and_no_script() {
    let world = World::with().saml_binding(Binding::Post).start().await;
    let page = world.browser().get(world.at("/page")).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Continue to Salesforce") && !page.body.contains("<script"), "{}", page.body);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains(world.org.org_url()), "{policy}");
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn an_org_that_verifies_requests_refuses_an_unsigned_one() {
    let world = World::with().saml_key().start().await;
    let reply = world.browser().try_sign_in(&world.at("/page"), STANDARD, "allow").await;
    assert_eq!(world.org.events().last(), Some(&Event::InvalidSignature), "{}", reply.body);
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn the_answer_finds_its_attempt_and_the_session_stays_lax() {
    for world in [World::with().saml().start().await, World::with().saml().tls().start().await] {
        let mut browser = world.browser();
        let begun = browser.get(world.at("/page")).await;
        let attempt = begun.cookies().into_iter().find(|line| line.contains("portcullis-attempt-")).unwrap();
        assert!(attempt.contains("SameSite=None; Secure"), "{attempt}");
        let answer = browser.sign_in_until_form(&world.at("/page"), STANDARD).await;
        let arrived = browser.submit(&answer).await;
        let lines = arrived.cookies();
        let session = lines.iter().find(|line| line.starts_with(&format!("{}=", world.session_cookie()))).unwrap();
        assert!(session.contains("SameSite=Lax") && session.contains("HttpOnly"), "{session}");
        let forgotten = lines.iter().find(|line| line.contains("portcullis-attempt-")).unwrap();
        assert!(forgotten.contains("Max-Age=0") && forgotten.contains("SameSite=None; Secure"), "{forgotten}");
        assert_eq!(browser.follow(arrived).await.status, 200);
    }
}

#[tokio::test]
async fn an_org_that_signs_only_one_of_both_is_believed() {
    for signed in [Signed::Both, Signed::Response, Signed::Assertion] {
        everybody_gets_in(&World::with().saml().org(|org| org.app.saml.signed = signed).start().await).await;
    }
}

#[tokio::test]
async fn a_site_signs_in_for_its_org() {
    let world = World::with().saml().base(Base::Site).start().await;
    everybody_gets_in(&world).await;
}

#[tokio::test]
async fn people_are_known_by_their_id_whatever_the_subject_is() {
    for subject in [Subject::Username, Subject::FederationId, Subject::UserId] {
        everybody_gets_in(&World::with().saml().org(|org| org.app.saml.subject = subject).start().await).await;
    }
}

#[tokio::test]
async fn the_organization_can_come_from_an_attribute() {
    let attribute = ("org".to_owned(), Formula::OrganizationId);
    let with = World::with().saml_organization("organization_attribute = \"org\"");
    let world = with.org(|org| org.app.saml.attributes = vec![attribute]).start().await;
    everybody_gets_in(&world).await;
    let world = World::with().saml_organization("organization_attribute = \"org\"").start().await;
    assert_eq!(nobody_gets_in(&world).await, "saml_organization");
}

#[tokio::test]
async fn attributes_with_several_values_become_one_header() {
    let attribute = ("roles".to_owned(), Formula::Text(vec!["agent".to_owned(), "a,b".to_owned()]));
    let custom = "[headers.custom]\nX-Roles = \"claims.custom_attributes.roles\"";
    let world = World::with().saml().table(custom).org(|org| org.app.saml.attributes = vec![attribute]).start().await;
    everybody_gets_in(&world).await;
    assert_eq!(world.app.last().one("x-roles").unwrap(), "agent,a%2Cb");
}

#[tokio::test]
async fn an_encrypted_answer_is_opened_with_our_key() {
    for cipher in [Cipher::Aes128Gcm, Cipher::Aes256Gcm, Cipher::Aes256Cbc] {
        let world = World::with().saml_key().saml_lines("sign_requests = true").start().await;
        encrypt(&world, cipher);
        everybody_gets_in(&world).await;
    }
}

fn encrypt(world: &World, cipher: Cipher) {
    world.org.configure(|app| {
        let certificate = app.saml.request_certificate.clone().unwrap();
        app.saml.encryption = Some(Encryption { certificate, cipher });
    });
}

#[tokio::test]
async fn people_authenticate_anew_when_that_is_asked() {
    let world = World::with().saml_lines("force_authn = true").start().await;
    let mut browser = everybody_gets_in(&world).await;
    browser.forget_cookie(world.host(), world.session_cookie());
    let reply = browser.try_sign_in(&world.at("/page"), STANDARD, "allow").await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(world.org.events().contains(&Event::ForcedAgain));
}

#[tokio::test]
async fn portal_users_stay_outside_until_they_are_allowed() {
    let portal = people::EVERYBODY.iter().find(|person| person.user_type != "STANDARD").unwrap();
    let world = World::with().saml().start().await;
    let mut browser = world.browser();
    let reply = browser.try_sign_in(&world.at("/page"), portal.username, "allow").await;
    assert_eq!(stays_outside(&world, &mut browser, &reply).await, "user_type_not_allowed");
    let world = World::with().saml_lines("user_types = [\"any\"]").start().await;
    assert_eq!(world.browser().sign_in(&world.at("/page"), portal.username).await.status, 200);
}

#[tokio::test]
async fn the_addresses_of_the_other_protocol_are_nowhere() {
    let world = World::with().saml().start().await;
    assert_eq!(world.browser().get(world.at("/.portcullis/callback?code=x")).await.refusal(), "unknown_page");
    let world = World::new().await;
    for path in ["saml/acs", "saml/logout", "saml/metadata"] {
        let reply = world.browser().get(world.at(&format!("/.portcullis/{path}"))).await;
        assert_eq!(reply.refusal(), "unknown_page", "{path}");
    }
}

#[tokio::test]
async fn our_metadata_says_what_salesforce_has_to_know() {
    let world = World::with().saml_logout(Binding::Post).start().await;
    let reply = world.browser().get(world.at("/.portcullis/saml/metadata")).await;
    assert_eq!(reply.header("content-type"), Some("application/samlmetadata+xml"));
    for part in ["/.portcullis/saml/metadata", "/.portcullis/saml/acs", "/.portcullis/saml/logout"] {
        assert!(reply.body.contains(&world.at(part)), "{}", reply.body);
    }
    assert!(reply.body.contains("X509Certificate"), "{}", reply.body);
}

// What is wrong.

#[tokio::test]
async fn an_answer_is_good_for_one_use() {
    let world = World::with().saml().start().await;
    let mut browser = world.browser();
    let answer = browser.sign_in_until_form(&world.at("/page"), STANDARD).await;
    let attempt = browser.clone();
    assert_eq!(browser.submit(&answer).await.status, 303);
    // The thief has even the attempt's cookie.
    let mut thief = attempt;
    let reply = thief.submit(&answer).await;
    assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (400, "attempt_used"));
    assert_eq!(thief.cookie(world.host(), world.session_cookie()), None);
    assert_eq!(world.metric("portcullis_sessions").await, 1);
}

// The session's cookie is Lax, so it does not come along with the org's form: ASVS 7.2.4 holds all the same.
#[tokio::test]
async fn a_stolen_session_ends_when_its_person_signs_in_again() {
    let world = World::with().saml().start().await;
    let mut browser = world.signed_in().await;
    let mut thief = browser.clone();
    let answer = browser.sign_in_until_form(&world.at("/.portcullis/start"), STANDARD).await;
    assert_eq!(world.metric("portcullis_sessions").await, 1, "nothing ends before somebody has signed in");
    assert_eq!(browser.submit(&answer).await.status, 303);
    assert_eq!(world.metric("portcullis_sessions").await, 1);
    assert_eq!(thief.fetch(hyper::Method::GET, world.at("/page"), &[], "").await.status, 401);
    assert_eq!(browser.fetch(hyper::Method::GET, world.at("/page"), &[], "").await.status, 200);
}

#[tokio::test]
async fn an_answer_in_another_browser_signs_nobody_in() {
    let world = World::with().saml().start().await;
    let answer = world.browser().sign_in_until_form(&world.at("/page"), STANDARD).await;
    let mut other = world.browser();
    let reply = other.submit(&answer).await;
    assert_eq!(stays_outside(&world, &mut other, &reply).await, "attempt_missing");
}

#[tokio::test]
async fn an_answer_to_another_attempt_signs_nobody_in() {
    let world = World::with().saml().start().await;
    let mut victim = world.browser();
    let theirs = victim.sign_in_until_form(&world.at("/page"), STANDARD).await;
    let stolen = world.browser().sign_in_until_form(&world.at("/page"), people::ADMINISTRATOR.username).await;
    let field = |reply: &Reply, name: &str| reply.fields().into_iter().find(|field| field.0 == name).unwrap().1;
    let form = [("SAMLResponse", field(&stolen, "SAMLResponse")), ("RelayState", field(&theirs, "RelayState"))];
    let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
    let reply = victim.post_from(&theirs.url, &acs(&world), &form).await;
    assert_eq!(stays_outside(&world, &mut victim, &reply).await, "saml_in_response_to");
}

#[tokio::test]
async fn every_mischief_of_the_org_keeps_everybody_out_or_does_no_harm() {
    let plain = World::with().saml().start().await;
    let encrypting = World::with().saml_key().saml_lines("sign_requests = true").start().await;
    encrypt(&encrypting, Cipher::Aes256Cbc);
    for &mischief in SamlMischief::ALL {
        let world = match mischief.touches() {
            Touches::Response | Touches::Form => &plain,
            Touches::Encryption => &encrypting,
            Touches::Metadata | Touches::Logout => continue,
        };
        world.org.set(mischief);
        let before = world.app.hits();
        let mut browser = world.browser();
        let reply = browser.try_sign_in(&world.at("/page"), STANDARD, "allow").await;
        let name = mischief.name();
        if mischief.is_benign() {
            assert_eq!((reply.status.as_u16(), world.app.hits()), (200, before + 1), "{name}: {}", reply.body);
            assert_eq!(world.app.last().one("x-salesforce-user-id").as_deref(), Some(people::STANDARD.user), "{name}");
        } else {
            assert!(reply.status.is_client_error(), "{name}: {} {}", reply.status, reply.body);
            let code = reply.refusal();
            let expected = ["body_too_large", "parameter_repeated", "attempt_missing", "callback_incomplete"];
            let saml = code.starts_with("saml_") || expected.contains(&code.as_str());
            assert!(saml, "{name}: {code}");
            assert_eq!(browser.cookie(world.host(), world.session_cookie()), None, "{name}");
            assert_eq!(world.app.hits(), before, "{name}");
        }
    }
}

#[tokio::test]
async fn a_form_that_is_none_is_refused() {
    let world = World::with().saml().start().await;
    let mut browser = world.browser();
    let elsewhere = Url::parse(world.org.org_url()).unwrap();
    let reply = browser.get(acs(&world)).await;
    assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (405, "method_not_allowed"));
    let reply = browser.post_from(&elsewhere, &acs(&world), &[("RelayState", "/")]).await;
    assert_eq!(reply.refusal(), "saml_unreadable");
    let huge = "A".repeat(10 * 1024 * 1024);
    let reply = browser.post_from(&elsewhere, &acs(&world), &[("SAMLResponse", &huge)]).await;
    assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (413, "body_too_large"));
    let json = [("content-type", "application/json"), ("accept", "text/html")];
    let reply = browser.fetch(hyper::Method::POST, acs(&world), &json, "SAMLResponse=PHg+").await;
    assert_eq!(reply.refusal(), "saml_unreadable");
}

// Metadata.

#[tokio::test]
async fn metadata_is_all_that_is_needed() {
    let world = World::with().saml_metadata().start().await;
    everybody_gets_in(&world).await;
}

#[tokio::test]
async fn metadata_that_is_wrong_lets_nobody_in() {
    for &mischief in SamlMischief::ALL.iter().filter(|mischief| mischief.touches() == Touches::Metadata) {
        let pinned = World::with().saml_metadata();
        let world = pinned.saml_lines("issuer = \"{org}\"").mischief(Mischief::Saml(mischief)).start().await;
        let mut browser = world.browser();
        let reply = browser.try_sign_in(&world.at("/page"), STANDARD, "allow").await;
        assert_eq!(stays_outside(&world, &mut browser, &reply).await, "provider_unreachable", "{}", mischief.name());
    }
}

#[tokio::test]
async fn an_exchanged_certificate_is_refused_until_it_is_known() {
    let world = World::with().saml().start().await;
    world.org.configure(|app| app.saml.certificate = InUse::Renewed);
    assert_eq!(nobody_gets_in(&world).await, "saml_signature_key");
    let world = World::with().saml_metadata().org(|org| org.app.saml.certificate = InUse::Renewed).start().await;
    everybody_gets_in(&world).await;
    let world = World::with().saml_metadata().org(|org| org.app.saml.host = EndpointHost::Site).start().await;
    everybody_gets_in(&world).await;
}

// T-SAML: cookies that travel with forms are taken from answers to another site's images, too.
#[tokio::test]
async fn a_page_elsewhere_cannot_fill_a_browser_with_attempts() {
    let world = World::with().saml().start().await;
    let mut browser = world.browser();
    let start = world.at("/.portcullis/start?return_to=/page");
    for (mode, destination) in [("no-cors", "image"), ("navigate", "iframe"), ("cors", "empty")] {
        let lines = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode), ("sec-fetch-dest", destination)];
        let reply = browser.fetch(hyper::Method::GET, &start, &lines, "").await;
        assert_eq!((reply.status.as_u16(), reply.cookies()), (401, Vec::new()), "{destination}");
    }
    // A link there still leads to the sign-in.
    let lines = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(browser.fetch(hyper::Method::GET, &start, &lines, "").await.status, 303);
}
