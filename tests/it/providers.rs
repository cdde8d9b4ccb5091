//! Several providers at once: people choose, and nothing of one is taken for another's.

use hyper::Method;
use portcullis::emulator::Mischief;
use portcullis::emulator::people;
use portcullis::emulator::saml::app::Binding;
use portcullis::emulator::settings::Settings;
use url::Url;

use crate::browser::{Browser, Reply};
use crate::stage::until;
use crate::world::{Beside, World, other_keys};

const STANDARD: &str = people::STANDARD.username;
const PAGE: &str = "/page?x=1&y=a%20b";

fn of(organization: &str) -> String {
    format!("organizations = [\"{organization}\"]\ntitle = \"Partners\"\n")
}

fn other_org() -> Settings {
    Settings { keys: Some(other_keys()), ..Settings::default() }
}

/// One org by both protocols.
async fn both() -> World {
    let saml = format!("organization = \"{}\"\ntitle = \"Acme, by SAML\"\n", people::HOME_ORGANIZATION);
    World::with().beside("saml", Beside::SameBySaml, &saml).start().await
}

/// Two orgs by OpenID Connect, the second as `settings` say.
async fn two(settings: Settings, lines: &str) -> World {
    World::with().beside("partners", Beside::Oidc(settings), lines).start().await
}

/// From a closed page through the choice to wherever signing in by `provider` leads.
async fn sign_in_by(world: &World, browser: &mut Browser, provider: &str, username: &str) -> Reply {
    let choice = browser.visit(world.at(PAGE)).await;
    browser.try_sign_in(choice.way(provider).as_str(), username, "allow").await
}

async fn count(world: &World, provider: &str, outcome: &str) -> u64 {
    let labels = format!("{{provider=\"{provider}\",outcome=\"{outcome}\"}}");
    world.metric(&format!("portcullis_sign_ins_total{labels}")).await
}

#[tokio::test]
async fn whoever_must_sign_in_chooses_and_then_arrives_at_their_page() {
    let world = both().await;
    let reply = world.browser().get(world.at(PAGE)).await;
    assert_eq!((reply.status.as_u16(), reply.location().path()), (303, "/.portcullis/start"));
    assert_eq!(reply.parameter("return_to").as_deref(), Some(PAGE));
    assert_eq!(reply.cookies(), Vec::<String>::new(), "nothing has begun");
    let choice = world.browser().visit(world.at(PAGE)).await;
    assert_eq!(choice.status, 200);
    assert!(choice.body.contains("Acme, by SAML") && choice.body.contains("127.0.0.1"), "{}", choice.body);
    assert!(choice.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert_eq!(choice.header("cache-control"), Some("no-store"));
    assert_eq!(choice.cookies(), Vec::<String>::new());
    let place = |provider: &str| {
        let way = choice.way(provider);
        choice.links().iter().position(|link| *link == way)
    };
    assert!(place("salesforce") < place("saml"), "in the order of the file");

    let mut keys = Vec::new();
    for provider in ["salesforce", "saml"] {
        let mut browser = world.browser();
        let reply = sign_in_by(&world, &mut browser, provider, STANDARD).await;
        assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, world.at(PAGE).as_str()), "{}", reply.body);
        keys.push(world.app.last().one("x-forwarded-user").unwrap());
        let me = browser.fetch(Method::GET, world.at("/.portcullis/me"), &[], "").await.json();
        assert_eq!(me["provider"], provider);
        assert_eq!(count(&world, provider, "signed_in").await, 1);
    }
    assert_eq!(keys[0], keys[1], "the same person by either protocol");
    assert_eq!(keys[0], format!("{}@{}", people::STANDARD.user, people::HOME_ORGANIZATION));
    assert_eq!(world.app.hits(), 2);
}

#[tokio::test]
async fn programs_are_told_and_never_sent() {
    let world = both().await;
    let json = [("accept", "application/json")];
    let told = world.browser().fetch(Method::GET, world.at(PAGE), &json, "").await;
    assert_eq!((told.status.as_u16(), told.refusal().as_str()), (401, "sign_in_required"));
    let sign_in = told.json()["sign_in"].as_str().unwrap().to_owned();
    let list = world.browser().fetch(Method::GET, &sign_in, &json, "").await.json();
    let ways = list["ways"].as_array().unwrap();
    assert_eq!(ways.iter().map(|way| way["provider"].as_str().unwrap()).collect::<Vec<_>>(), ["salesforce", "saml"]);
    let reply = world.browser().try_sign_in(ways[1]["sign_in"].as_str().unwrap(), STANDARD, "allow").await;
    assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, world.at(PAGE).as_str()));
}

#[tokio::test]
async fn a_way_that_there_is_not_is_refused() {
    for world in [both().await, World::new().await] {
        for (query, code) in [
            ("provider=nobody", "unknown_provider"),
            ("provider=", "unknown_provider"),
            ("provider=Salesforce", "unknown_provider"),
            ("provider=salesforce%00", "unknown_provider"),
            ("provider=salesforce&provider=salesforce", "parameter_repeated"),
        ] {
            let reply = world.browser().get(world.at(&format!("/.portcullis/start?{query}&return_to=/page"))).await;
            assert_eq!(reply.refusal(), code, "{query}");
            assert_eq!(reply.cookies(), Vec::<String>::new(), "{query}");
        }
        let reply = world.browser().get(world.at("/.portcullis/start?provider=salesforce")).await;
        assert_eq!(reply.status, 303, "a name that there is");
    }
}

#[tokio::test]
async fn a_single_provider_has_nothing_to_choose() {
    let world = World::new().await;
    let reply = world.browser().get(world.at("/.portcullis/start?return_to=/page")).await;
    assert!(reply.location().as_str().starts_with(world.org.org_url()));
    let reply = world.browser().get(world.at("/page")).await;
    assert!(reply.location().as_str().starts_with(world.org.org_url()));
    assert_eq!(world.browser().get(world.at("/.portcullis/callback/salesforce")).await.refusal(), "unknown_page");
}

#[tokio::test]
async fn one_that_is_down_keeps_nobody_from_the_other() {
    let down = Settings { mischief: Some(Mischief::DiscoveryDown), ..other_org() };
    let world = two(down, &of(people::FOREIGN_ORGANIZATION)).await;
    let operator = world.gateway.operator_address.unwrap();
    until("readiness", || async {
        let url = format!("http://{operator}/readyz");
        Browser::new().fetch(Method::GET, url, &[], "").await.status == 200
    })
    .await;
    let mut browser = world.browser();
    let declined = sign_in_by(&world, &mut browser, "partners", STANDARD).await;
    assert_eq!(declined.refusal(), "provider_unreachable");
    let again = declined.way("partners");
    assert_eq!(again.query_pairs().find(|(name, _)| name == "return_to").unwrap().1, PAGE, "to the very page");
    let others = declined.links().into_iter().find(|link| link.path().ends_with("/start") && *link != again).unwrap();
    let choice = browser.get(&others).await;
    let reply = browser.try_sign_in(choice.way("salesforce").as_str(), STANDARD, "allow").await;
    assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, world.at(PAGE).as_str()), "{}", reply.body);
}

#[tokio::test]
async fn the_link_to_try_again_keeps_the_provider() {
    let world = two(other_org(), &of(people::HOME_ORGANIZATION)).await;
    let mut browser = world.browser();
    let choice = browser.visit(world.at(PAGE)).await;
    let declined = browser.try_sign_in(choice.way("partners").as_str(), STANDARD, "deny").await;
    assert_eq!(declined.refusal(), "salesforce_access_denied");
    let again = declined.way("partners");
    assert!(browser.get(&again).await.location().as_str().starts_with(world.others[0].org_url()));
    assert!(declined.body.contains("Sign in another way"), "{}", declined.body);
    assert_eq!(count(&world, "partners", "salesforce_access_denied").await, 1);
    assert_eq!(count(&world, "salesforce", "salesforce_access_denied").await, 0);
}

#[tokio::test]
async fn rules_are_a_providers_own() {
    let everybody = format!("{}user_types = [\"any\"]\n", of(people::HOME_ORGANIZATION));
    let world = two(other_org(), &everybody).await;
    let partner = people::PARTNER.username;
    let declined = sign_in_by(&world, &mut world.browser(), "salesforce", partner).await;
    assert_eq!(declined.refusal(), "user_type_not_allowed");
    assert_eq!(world.app.hits(), 0);
    let reply = sign_in_by(&world, &mut world.browser(), "partners", partner).await;
    assert_eq!(reply.url.as_str(), world.at(PAGE), "{}", reply.body);
}

#[tokio::test]
async fn an_attempts_cookie_travels_as_its_provider_needs() {
    let world = both().await;
    let mut browser = world.browser();
    let choice = browser.visit(world.at(PAGE)).await;
    for (provider, flags, other) in [("salesforce", "SameSite=Lax", "None"), ("saml", "SameSite=None; Secure", "Lax")] {
        let begun = browser.get(choice.way(provider)).await;
        let lines = begun.cookies();
        let line = lines.iter().find(|line| line.contains("portcullis-attempt-")).unwrap();
        assert!(line.contains(flags) && !line.contains(&format!("SameSite={other}")), "{provider}: {line}");
    }
}

#[tokio::test]
async fn signing_out_goes_on_at_the_sessions_own_provider() {
    let lines =
        format!("organization = \"{}\"\ntitle = \"Partners\"\nsign_requests = true\n", people::HOME_ORGANIZATION);
    let world = World::with().beside("partners", Beside::Saml(other_org()), &lines).start().await;
    let there = Url::parse(world.others[0].org_url()).unwrap().origin();
    for (provider, goes_there) in [("salesforce", false), ("partners", true)] {
        let mut browser = world.browser();
        let reply = sign_in_by(&world, &mut browser, provider, STANDARD).await;
        assert_eq!(reply.url.as_str(), world.at(PAGE), "{provider}: {}", reply.body);
        let address = Url::parse(&world.at("/.portcullis/sign-out")).unwrap();
        let policy = browser.get(&address).await.header("content-security-policy").unwrap().to_owned();
        assert_eq!(policy.contains(world.others[0].org_url()), goes_there, "{provider}: {policy}");
        let reply = browser.post(&address, &[]).await;
        assert_eq!(reply.location().origin() == there, goes_there, "{provider}: {:?}", reply.header("location"));
        assert_eq!(browser.cookie(world.host(), world.session_cookie()), None);
    }
}

#[tokio::test]
async fn each_is_told_of_addresses_of_its_own() {
    let lines = format!("organization = \"{}\"\ntitle = \"Partners\"\n", people::HOME_ORGANIZATION);
    let with = World::with().saml_logout(Binding::Redirect).beside("partners", Beside::Saml(other_org()), &lines);
    let world = with.start().await;
    for name in ["salesforce", "partners"] {
        let metadata = world.browser().get(world.at(&format!("/.portcullis/saml/metadata/{name}"))).await;
        for end in ["metadata", "acs", "logout"] {
            let address = world.at(&format!("/.portcullis/saml/{end}/{name}"));
            assert!(metadata.body.contains(&format!("\"{address}\"")), "{name}: {}", metadata.body);
        }
    }
    for path in ["metadata", "metadata/nobody", "metadata/salesforce/", "acs", "logout", "acs/nobody"] {
        let reply = world.browser().get(world.at(&format!("/.portcullis/saml/{path}"))).await;
        assert_eq!(reply.refusal(), "unknown_page", "{path}");
    }
}

#[tokio::test]
async fn a_browser_in_a_loop_is_told_so_in_place_of_the_choice() {
    let world = both().await;
    let mut browser = world.browser();
    for _ in 0..3 {
        sign_in_by(&world, &mut browser, "saml", STANDARD).await;
        browser.forget_cookie(world.host(), world.session_cookie());
    }
    let reply = browser.visit(world.at(PAGE)).await;
    assert_eq!(reply.refusal(), "redirect_loop");
    let choice = browser.visit(world.at(PAGE)).await;
    assert_eq!(choice.status, 200, "and then it may try again");
    choice.way("saml");
}

#[tokio::test]
async fn whoever_came_with_the_wrong_account_is_asked_for_another() {
    let saml = World::with().saml().start().await;
    for (world, provider) in [(World::new().await, "salesforce"), (saml, "salesforce"), (both().await, "saml")] {
        let start = world.at(&format!("/.portcullis/start?provider={provider}&return_to=/page"));
        let mut browser = world.browser();
        let declined = browser.try_sign_in(&start, people::PARTNER.username, "allow").await;
        assert_eq!(declined.refusal(), "user_type_not_allowed");
        // Salesforce knows the browser now: without a word it would answer the same again.
        let again = browser.try_sign_in(&start, STANDARD, "allow").await;
        assert_eq!(again.refusal(), "user_type_not_allowed");
        let another = declined.links().into_iter().find(|link| link.query_pairs().any(|pair| pair.1 == "another"));
        let reply = browser.try_sign_in(another.expect("a way out").as_str(), STANDARD, "allow").await;
        assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, world.at("/page").as_str()), "{}", reply.body);
        assert_eq!(world.app.last().one("x-salesforce-user-id").as_deref(), Some(people::STANDARD.user));
    }
}
