//! Many tabs, the back button, reloading; and a login that can be finished once, in the browser that began it.

use std::time::{Duration, SystemTime};

use portcullis::emulator::people;
use url::Url;

use crate::browser::Browser;
use crate::stage::until;
use crate::world::World;

const STANDARD: &str = people::STANDARD.username;

fn attempts(browser: &Browser) -> usize {
    browser.cookie_names("localhost").iter().filter(|name| name.contains("attempt")).count()
}

#[tokio::test]
async fn every_tab_lands_on_its_own_page() {
    let world = World::new().await;
    let mut browser = world.browser();
    let mut callbacks = Vec::new();
    for page in ["/one", "/two?tab=2", "/three"] {
        callbacks.push((page, browser.sign_in_until_callback(&world.at(page), STANDARD).await));
    }
    assert_eq!(attempts(&browser), 3);
    callbacks.swap(0, 1);
    for (page, callback) in callbacks {
        let reply = browser.visit(callback).await;
        assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, world.at(page).as_str()));
    }
    assert_eq!(attempts(&browser), 0, "an attempt's cookie is gone when it is used");
}

#[tokio::test]
async fn a_replayed_callback_lands_a_signed_in_browser_on_its_page() {
    let world = World::new().await;
    let mut browser = world.browser();
    let callback = browser.sign_in_until_callback(&world.at("/page?x=1"), STANDARD).await;
    assert_eq!(browser.visit(&callback).await.status, 200);
    let session = browser.cookie("localhost", "portcullis");
    for again in ["the back button", "reload", "the restored tab"] {
        let reply = browser.get(&callback).await;
        assert_eq!(
            (reply.status.as_u16(), reply.location().as_str()),
            (303, world.at("/page?x=1").as_str()),
            "{again}"
        );
        assert!(reply.cookies().is_empty(), "{again}: {:?}", reply.cookies());
    }
    assert_eq!(browser.cookie("localhost", "portcullis"), session);
    assert_eq!(world.org.count("token"), 1, "a code is exchanged once");
}

#[tokio::test]
async fn a_used_callback_signs_no_other_browser_in() {
    let world = World::new().await;
    let mut browser = world.browser();
    let callback = browser.sign_in_until_callback(&world.at("/"), STANDARD).await;
    let mut thief = browser.clone();
    assert_eq!(browser.visit(&callback).await.status, 200);
    // the thief has the callback's address and even the attempt's cookie
    let reply = thief.get(&callback).await;
    assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (400, "attempt_used"));
    assert_eq!(thief.cookie("localhost", "portcullis"), None);
    assert_eq!((world.app.hits(), world.org.count("token")), (1, 1));
}

#[tokio::test]
async fn a_login_is_finished_in_the_browser_that_began_it() {
    let world = World::new().await;
    let mut browser = world.browser();
    let callback = browser.sign_in_until_callback(&world.at("/page"), STANDARD).await;
    let mut other = world.browser();
    let reply = other.get(&callback).await;
    assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (400, "attempt_missing"));
    assert_eq!(other.cookie("localhost", "portcullis"), None);
    assert_eq!((world.app.hits(), world.org.count("token")), (0, 0), "nothing was exchanged");
    // and whoever tried it did not spoil it
    assert_eq!(browser.visit(&callback).await.status, 200);
}

#[tokio::test]
async fn two_callbacks_at_once_use_their_code_once() {
    let world = World::new().await;
    let mut browser = world.browser();
    let callback = browser.sign_in_until_callback(&world.at("/"), STANDARD).await;
    let mut twin = browser.clone();
    tokio::join!(browser.get(&callback), twin.get(&callback));
    let sessions = [&browser, &twin].map(|browser| browser.cookie("localhost", "portcullis"));
    assert_eq!(sessions.iter().flatten().count(), 1, "{sessions:?}");
    assert_eq!(world.org.count("token"), 1);
}

#[tokio::test]
async fn a_login_that_another_gateway_began_is_refused_with_a_way_onward() {
    // as after a restart: sealing keys do not outlive the process
    let (before, after) = (World::new().await, World::new().await);
    let mut browser = before.browser();
    let callback = browser.sign_in_until_callback(&before.at("/page"), STANDARD).await;
    let reply = browser.get(callback.as_str().replace(&before.url, &after.url)).await;
    assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (400, "attempt_forged"));
    assert!(reply.links().iter().any(|link| link.path() == "/.portcullis/start"), "{:?}", reply.links());
    assert_eq!(attempts(&browser), 0, "what is of no use is deleted");
    assert_eq!((after.org.count("token"), after.app.hits()), (0, 0));
}

#[tokio::test]
async fn a_code_of_one_login_is_worth_nothing_in_another() {
    let world = World::new().await;
    let theirs = world.browser().sign_in_until_callback(&world.at("/"), people::ADMINISTRATOR.username).await;
    let mut browser = world.browser();
    let ours = browser.sign_in_until_callback(&world.at("/"), STANDARD).await;
    let value = |url: &Url, name: &str| url.query_pairs().find(|pair| pair.0 == name).unwrap().1.into_owned();
    let mut mixed = ours.clone();
    mixed
        .query_pairs_mut()
        .clear()
        .append_pair("code", &value(&theirs, "code"))
        .append_pair("state", &value(&ours, "state"));
    let reply = browser.get(mixed).await;
    assert!(reply.status.is_client_error() || reply.status.is_server_error(), "{}", reply.status);
    assert_eq!(reply.refusal(), "salesforce_invalid_verifier");
    assert_eq!(browser.cookie("localhost", "portcullis"), None);
    // the state was spent on it
    assert_eq!(browser.get(ours).await.refusal(), "attempt_used");
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn a_browser_keeps_a_handful_of_attempts_and_the_newest_works() {
    let world = World::new().await;
    let mut browser = world.browser();
    let oldest = browser.sign_in_until_callback(&world.at("/oldest"), STANDARD).await;
    // attempts are told apart by the second, and the oldest must be the oldest
    next_second().await;
    for tab in 0..7 {
        browser.get(world.at(&format!("/tab/{tab}"))).await;
    }
    let newest = browser.sign_in_until_callback(&world.at("/newest"), STANDARD).await;
    assert!(attempts(&browser) <= 5, "{:?}", browser.cookie_names("localhost"));
    assert_eq!(browser.get(oldest).await.refusal(), "attempt_missing");
    let reply = browser.visit(newest).await;
    assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, world.at("/newest").as_str()));
}

#[tokio::test]
async fn an_attempt_that_took_too_long_says_so_and_offers_to_start_over() {
    let world = World::with().table("[session]\nlogin_timeout = \"1s\"").start().await;
    let mut browser = world.browser();
    let callback = browser.sign_in_until_callback(&world.at("/page?x=1"), STANDARD).await;
    next_second().await;
    next_second().await;
    let reply = browser.get(&callback).await;
    assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (400, "attempt_expired"));
    assert_eq!(browser.cookie("localhost", "portcullis"), None);
    assert_eq!(attempts(&browser), 0);
    assert!(reply.links().iter().any(|link| link.path() == "/.portcullis/start"), "{:?}", reply.links());
    assert_eq!((world.app.hits(), world.org.count("token")), (0, 0));
}

#[tokio::test]
async fn a_failed_sign_in_offers_the_way_back_to_the_page() {
    let world = World::new().await;
    let mut browser = world.browser();
    let reply = browser.try_sign_in(&world.at("/page?x=1"), STANDARD, "deny").await;
    let onward = world.at("/.portcullis/start?return_to=%2Fpage%3Fx%3D1");
    let links = reply.links();
    assert!(links.iter().any(|link| link.as_str() == onward), "{links:?}");
    let reply = browser.try_sign_in(&onward, STANDARD, "allow").await;
    assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, world.at("/page?x=1").as_str()));
}

#[tokio::test]
async fn a_way_back_never_leads_elsewhere() {
    let world = World::new().await;
    for away in
        ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/.portcullis/sign-out"]
    {
        let mut start = Url::parse(&world.at("/.portcullis/start")).unwrap();
        start.query_pairs_mut().append_pair("return_to", away);
        let reply = world.browser().try_sign_in(start.as_str(), STANDARD, "allow").await;
        assert_eq!(reply.url.origin().ascii_serialization(), world.url, "{away}");
        assert_eq!(reply.status, 200, "{away}");
    }
}

/// Waits until the wall clock shows another second.
pub async fn next_second() {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let began = now();
    until("another second", || async { now() > began }).await;
}
