//! One provider's answer in the place of another's (RFC 9700 section 4.4), and one that speaks for another's people.
//!
//! The first provider is the attacker's here: an org that does as it likes with whoever begins there.

use portcullis::emulator::saml::app::{Binding, Formula};
use portcullis::emulator::settings::Settings;
use url::{Position, Url};

use super::*;
use crate::world::{Beside, other_keys};

const STANDARD: &str = people::STANDARD.username;

fn honest() -> Settings {
    Settings { keys: Some(other_keys()), ..Settings::default() }
}

/// The lines of an honest provider by OpenID Connect.
fn lines() -> String {
    format!("title = \"Honest\"\norganizations = [\"{}\"]\n", people::HOME_ORGANIZATION)
}

/// The attacker's org and an honest one, both by OpenID Connect.
async fn two() -> World {
    World::with().beside("honest", Beside::Oidc(honest()), &lines()).start().await
}

/// The same by SAML.
async fn two_by_saml(attackers: &str) -> World {
    let lines = format!("title = \"Honest\"\norganization = \"{}\"\nsign_requests = true\n", people::HOME_ORGANIZATION);
    let with = World::with().saml_logout(Binding::Redirect).saml_lines(attackers);
    with.beside("honest", Beside::Saml(honest()), &lines).start().await
}

fn start(world: &World, provider: &str) -> String {
    world.at(&format!("/.portcullis/start?provider={provider}&return_to=/page"))
}

fn parameter(url: &Url, name: &str) -> String {
    url.query_pairs().find(|pair| pair.0 == name).map(|pair| pair.1.into_owned()).unwrap()
}

/// The attempt at the attacker's org as that org passes it on to the honest one, with this callback.
fn passed_on(attempt: &Url, honest: &Url, callback: &str) -> Url {
    let mut url = Url::parse(&honest[..Position::AfterPath]).unwrap();
    let others = attempt.query_pairs().into_owned().filter(|pair| pair.0 != "redirect_uri");
    url.query_pairs_mut().extend_pairs(others).append_pair("redirect_uri", callback);
    url
}

async fn stays_outside(world: &World, browser: &Browser) {
    assert_eq!(browser.cookie(world.host(), world.session_cookie()), None);
    assert_eq!(world.metric("portcullis_sessions").await, 0);
    assert_eq!(world.app.hits(), 0);
}

// The attacker's org sends whoever begins there on to the honest one, with the honest one's own callback.
#[tokio::test]
async fn mix_up_of_two_orgs_signs_nobody_in_and_sends_no_code_to_the_attacker() {
    let world = two().await;
    let mut browser = world.browser();
    let attempt = browser.get(start(&world, "salesforce")).await.location();
    let there = browser.get(start(&world, "honest")).await.location();
    let passed_on = passed_on(&attempt, &there, &parameter(&there, "redirect_uri"));
    let callback = browser.sign_in_until_callback(passed_on.as_str(), STANDARD).await;
    assert_eq!(parameter(&callback, "state"), parameter(&attempt, "state"), "the honest org answers the attempt");
    let reply = browser.get(&callback).await;
    assert_eq!(reply.refusal(), "issuer_mismatch");
    assert_eq!((world.org.count("token"), world.others[0].count("token")), (0, 0), "the code went nowhere");
    stays_outside(&world, &browser).await;
    assert_eq!(browser.get(&callback).await.refusal(), "attempt_used");
}

// With the attacker's callback the honest org answers nobody: it does not know that address.
#[tokio::test]
async fn mix_up_by_the_attackers_own_callback_ends_at_the_honest_org() {
    let world = two().await;
    let mut browser = world.browser();
    let attempt = browser.get(start(&world, "salesforce")).await.location();
    let there = browser.get(start(&world, "honest")).await.location();
    let callback = world.at("/.portcullis/callback/salesforce");
    assert_eq!(parameter(&attempt, "redirect_uri"), callback);
    assert_eq!(parameter(&there, "redirect_uri"), world.at("/.portcullis/callback/honest"));
    let passed_on = passed_on(&attempt, &there, &callback);
    let reply = browser.try_sign_in(passed_on.as_str(), STANDARD, "allow").await;
    assert!(!reply.url.as_str().starts_with(&world.url), "{}", reply.url);
    stays_outside(&world, &browser).await;
}

// RFC 9207: an answer that names another issuer than the callback's.
#[tokio::test]
async fn mix_up_that_names_the_honest_issuer_is_refused() {
    let world = two().await;
    let mut browser = world.browser();
    let mut callback = browser.sign_in_until_callback(&start(&world, "salesforce"), STANDARD).await;
    callback.query_pairs_mut().append_pair("iss", world.others[0].org_url());
    assert_eq!(browser.get(&callback).await.refusal(), "issuer_mismatch");
    assert_eq!(world.org.count("token"), 0);
    stays_outside(&world, &browser).await;
}

// A callback that is right in everything but its address.
#[tokio::test]
async fn a_callback_at_another_providers_address_is_refused() {
    let world = two().await;
    for (begun, address) in [("salesforce", "honest"), ("honest", "salesforce")] {
        let mut browser = world.browser();
        let callback = browser.sign_in_until_callback(&start(&world, begun), STANDARD).await;
        let query = callback.query().unwrap();
        let nobodys = browser.get(world.at(&format!("/.portcullis/callback?{query}"))).await;
        assert_eq!(nobodys.refusal(), "unknown_page");
        let reply = browser.get(world.at(&format!("/.portcullis/callback/{address}?{query}"))).await;
        assert_eq!(reply.refusal(), "issuer_mismatch");
        reply.way(begun);
        stays_outside(&world, &browser).await;
    }
    assert_eq!((world.org.count("token"), world.others[0].count("token")), (0, 0));
}

// Both protocols: the answer of the one for an attempt of the other.
#[tokio::test]
async fn an_answer_of_another_protocol_is_refused() {
    let saml = format!("title = \"SAML\"\norganization = \"{}\"\n", people::HOME_ORGANIZATION);
    let world = World::with().beside("saml", Beside::SameBySaml, &saml).start().await;
    let mut browser = world.browser();
    let answer = browser.sign_in_until_form(&start(&world, "saml"), STANDARD).await;
    let fields = answer.fields();
    let field = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1.as_str()).unwrap();
    let state = parameter(&browser.get(start(&world, "salesforce")).await.location(), "state");
    let posted = [("SAMLResponse", field("SAMLResponse")), ("RelayState", &state)];
    // That attempt's cookie does not travel with forms of other sites; and if it did, it is another's.
    let reply = browser.clone().post_from(&answer.url, &answer.action(), &posted).await;
    assert_eq!(reply.refusal(), "attempt_missing");
    let reply = browser.post(&answer.action(), &posted).await;
    assert_eq!(reply.refusal(), "issuer_mismatch");
    let callback = format!("/.portcullis/callback?code=x&state={}", field("RelayState"));
    assert_eq!(browser.get(world.at(&callback)).await.refusal(), "issuer_mismatch");
    assert_eq!(world.org.count("token"), 0);
    stays_outside(&world, &browser).await;
}

// SAML: the attacker's answer for an attempt at the honest org, and the other way round.
#[tokio::test]
async fn a_saml_answer_of_another_org_is_refused() {
    for lines in ["", "allow_idp_initiated = true"] {
        let world = two_by_saml(&format!("sign_requests = true\n{lines}")).await;
        for (answers, asked) in [("salesforce", "honest"), ("honest", "salesforce")] {
            let mut browser = world.browser();
            let answer = browser.sign_in_until_form(&start(&world, answers), STANDARD).await;
            let fields = answer.fields();
            let field = |name: &str| fields.iter().find(|field| field.0 == name).map(|field| field.1.as_str()).unwrap();
            let begun = browser.get(start(&world, asked)).await;
            let state = begun.parameter("RelayState").unwrap();
            let address = Url::parse(&world.at(&format!("/.portcullis/saml/acs/{asked}"))).unwrap();
            for (state, code) in [
                (state.as_str(), "saml_issuer"),
                ("/page", "saml_issuer"),
                ("", "saml_issuer"),
                (field("RelayState"), "issuer_mismatch"),
            ] {
                let form = [("SAMLResponse", field("SAMLResponse")), ("RelayState", state)];
                let reply = browser.post_from(&answer.url, &address, &form).await;
                assert_eq!(reply.refusal(), code, "{answers} for {asked}: {state}");
            }
            stays_outside(&world, &browser).await;
        }
    }
}

// The attacker's org says that its users are the honest org's.
#[tokio::test]
async fn an_org_cannot_speak_for_anothers_people() {
    let attackers = format!("organizations = [\"{}\"]", people::FOREIGN_ORGANIZATION);
    let oidc = World::with().provider(&attackers).beside("honest", Beside::Oidc(honest()), &lines());
    // By SAML the attribute is the org's own to fill in.
    let attribute = ("org".to_owned(), Formula::OrganizationId);
    let saml = World::with()
        .saml_organization(&format!("organization_attribute = \"org\"\n{attackers}"))
        .org(|org| org.app.saml.attributes = vec![attribute])
        .beside("honest", Beside::Oidc(honest()), &lines());
    for world in [oidc.start().await, saml.start().await] {
        let mut browser = world.browser();
        let reply = browser.try_sign_in(&start(&world, "salesforce"), STANDARD, "allow").await;
        assert_eq!(reply.refusal(), "wrong_organization");
        stays_outside(&world, &browser).await;
    }
}

// Both orgs call somebody the same; the attacker's signs that person out.
#[tokio::test]
async fn an_org_signs_nobody_out_whom_another_signed_in() {
    let world = two_by_saml("sign_requests = true").await;
    let (mut victim, mut attacker) = (world.browser(), world.browser());
    assert_eq!(victim.try_sign_in(&start(&world, "honest"), STANDARD, "allow").await.status, 200);
    assert_eq!(attacker.try_sign_in(&start(&world, "salesforce"), STANDARD, "allow").await.status, 200);
    assert_eq!(world.metric("portcullis_sessions").await, 2);
    let logout = Url::parse(&format!("{}/secur/logout.jsp", world.org.org_url())).unwrap();
    let mut reply = attacker.post(&logout, &[]).await;
    let mut message = None;
    for _ in 0..10 {
        if reply.status.is_redirection() {
            let next = reply.location();
            if message.is_none() && next.path().contains("/saml/logout/") {
                message = next.query().map(str::to_owned);
            }
            reply = attacker.get(next).await;
        }
    }
    assert_eq!(world.metric("portcullis_sessions").await, 1, "its own person is signed out");
    assert_eq!(victim.get(world.at("/page")).await.status, 200, "and nobody else");
    // Nor is its message believed at the honest org's address.
    let moved = world.at(&format!("/.portcullis/saml/logout/honest?{}", message.expect("a logout request")));
    let reply = world.browser().get(moved).await;
    assert!(reply.refusal().starts_with("saml_"), "{}", reply.body);
    assert_eq!(victim.get(world.at("/page")).await.status, 200);
}
