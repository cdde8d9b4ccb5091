//! Sessions: their cookie, their beginnings and their ends.

use std::time::{Duration, Instant};

use hyper::Method;
use portcullis::emulator::people;

use crate::browser::Browser;
use crate::stage::until;
use crate::tabs::next_second;
use crate::world::World;

/// Whether the browser's session is let through.
async fn is_in(world: &World, browser: &mut Browser) -> bool {
    browser.get(world.at("/page")).await.status == 200
}

#[tokio::test]
async fn over_tls_the_cookie_has_every_guard_there_is() {
    let world = World::with().tls().start().await;
    let mut browser = world.browser();
    let callback = browser.sign_in_until_callback(&world.at("/"), people::STANDARD.username).await;
    let reply = browser.get(callback).await;
    let line = reply.cookies().into_iter().find(|line| line.starts_with("__Host-portcullis=")).expect("the cookie");
    let (pair, attributes) = line.split_once("; ").unwrap();
    assert_eq!(pair.len(), "__Host-portcullis=".len() + 43, "256 bits: {pair}");
    let mut attributes: Vec<&str> = attributes.split("; ").collect();
    attributes.sort_unstable();
    assert_eq!(attributes, ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]);
    for line in reply.cookies() {
        assert!(line.starts_with("__Host-") && line.contains("; Secure"), "{line}");
    }
    assert!(is_in(&world, &mut browser).await);
    assert_eq!(world.app.last().one("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(world.app.last().one("cookie"), None);
}

#[tokio::test]
async fn over_tls_a_cookie_without_the_prefix_is_nobodys() {
    let world = World::with().tls().start().await;
    let mut browser = world.signed_in().await;
    let id = browser.cookie("localhost", "__Host-portcullis").unwrap();
    let mut other = world.browser();
    other.set_cookie("localhost", "portcullis", &id);
    assert!(!is_in(&world, &mut other).await);
    assert!(is_in(&world, &mut browser).await);
}

#[tokio::test]
async fn on_localhost_the_cookie_goes_without_tls() {
    let world = World::new().await;
    let browser = world.signed_in().await;
    assert!(browser.cookie("localhost", "portcullis").is_some());
}

#[tokio::test]
async fn every_sign_in_has_a_new_id_and_the_old_one_is_dead() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    let old = browser.cookie("localhost", "portcullis").unwrap();
    let reply = browser.sign_in(&world.at("/.portcullis/start?return_to=/page"), people::STANDARD.username).await;
    assert_eq!(reply.status, 200);
    let new = browser.cookie("localhost", "portcullis").unwrap();
    assert_ne!(old, new);
    assert!(is_in(&world, &mut browser).await);
    let mut left = world.browser();
    left.set_cookie("localhost", "portcullis", &old);
    assert!(!is_in(&world, &mut left).await);
}

#[tokio::test]
async fn an_id_from_outside_never_becomes_a_session() {
    let world = World::new().await;
    let planted = "A".repeat(43);
    let mut browser = world.browser();
    browser.set_cookie("localhost", "portcullis", &planted);
    let reply = browser.sign_in(&world.at("/"), people::STANDARD.username).await;
    assert_eq!(reply.status, 200);
    assert_ne!(browser.cookie("localhost", "portcullis").unwrap(), planted);
    let mut attacker = world.browser();
    attacker.set_cookie("localhost", "portcullis", &planted);
    assert!(!is_in(&world, &mut attacker).await);
}

#[tokio::test]
async fn an_unused_session_ends() {
    let world = World::with().table("[session]\nidle = \"2s\"").start().await;
    let mut browser = world.signed_in().await;
    next_second().await;
    next_second().await;
    next_second().await;
    assert!(!is_in(&world, &mut browser).await);
    assert_eq!(world.app.hits(), 1);
}

#[tokio::test]
async fn a_session_in_use_lives_on_until_its_lifetime_ends() {
    let world = World::with().table("[session]\nidle = \"2s\"\nlifetime = \"4s\"").start().await;
    let began = Instant::now();
    let browser = world.signed_in().await;
    until("the end of a lifetime", || {
        let mut browser = browser.clone();
        let world = &world;
        async move { !is_in(world, &mut browser).await }
    })
    .await;
    let lasted = began.elapsed();
    assert!(lasted >= Duration::from_millis(2900), "use keeps it beyond its idle time: {lasted:?}");
    assert!(lasted <= Duration::from_secs(10), "no use keeps it beyond its lifetime: {lasted:?}");
}

#[tokio::test]
async fn beyond_capacity_the_longest_unused_goes_and_the_newest_stays() {
    let world = World::with().table("[session]\ncapacity = 2").start().await;
    let mut browsers = Vec::new();
    for _ in 0..4 {
        browsers.push(world.signed_in().await);
    }
    // the store tidies up every now and then, not at once
    until("the end of the two oldest and the life of the two newest", || {
        let (world, browsers) = (&world, browsers.clone());
        async move {
            let mut alive = Vec::new();
            for mut browser in browsers {
                alive.push(is_in(world, &mut browser).await);
            }
            alive == [false, false, true, true]
        }
    })
    .await;
    assert!(world.metric("portcullis_server_events_total{event=\"session_evicted\"}").await >= 2);
}

#[tokio::test]
async fn the_app_gets_its_own_cookies_and_never_ours() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    browser.set_cookie("localhost", "theme", "dark");
    browser.set_cookie("localhost", "zone", "\"a=b\"");
    browser.set_cookie("localhost", "portcullis-attempt-0123456789abcdef", "x");
    browser.set_cookie("localhost", "Portcullis", "x");
    assert!(is_in(&world, &mut browser).await);
    assert_eq!(world.app.last().one("cookie").as_deref(), Some("theme=dark; zone=\"a=b\""));
}

#[tokio::test]
async fn an_app_cannot_set_our_cookies() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    let session = browser.cookie("localhost", "portcullis");
    let reply = browser.get(world.at("/impostor")).await;
    assert_eq!(reply.cookies(), ["theme=dark; Path=/"]);
    assert_eq!(browser.cookie("localhost", "portcullis"), session);
    assert!(is_in(&world, &mut browser).await);
}

#[tokio::test]
async fn broken_cookies_are_nobody_and_never_a_crash() {
    let world = World::new().await;
    let good = world.ticket().await;
    let id = good.strip_prefix("portcullis=").unwrap();
    let huge = format!("portcullis={}", "A".repeat(8000));
    let many = "portcullis=x; ".repeat(500);
    for cookie in [
        "portcullis=".to_owned(),
        "portcullis".to_owned(),
        "=".to_owned(),
        ";;;".to_owned(),
        format!("portcullis={}", &id[..42]),
        format!("portcullis={id}A"),
        format!("portcullis=\"{id}\""),
        format!("PORTCULLIS={id}"),
        format!("xportcullis={id}"),
        format!("__Host-portcullis={id}"),
        huge,
        many,
    ] {
        let reply = world.browser().fetch(Method::GET, world.at("/"), &[("cookie", &cookie)], "").await;
        assert_eq!(reply.status, 401, "{}", &cookie[..cookie.len().min(80)]);
    }
    assert_eq!(world.app.hits(), 0);
    // a planted cookie beside ours does not shut anybody out
    for cookie in [good.clone(), format!("portcullis={}; {good}", "B".repeat(43)), format!("a=b; {good}; c")] {
        let reply = world.browser().fetch(Method::GET, world.at("/"), &[("cookie", &cookie)], "").await;
        assert_eq!(reply.status, 200, "{cookie}");
    }
}

#[tokio::test]
async fn hosts_keep_their_sessions_apart() {
    let routes =
        "[[route]]\nupstream = \"http://{app}\"\n[[route]]\nhost = \"other.localhost\"\nupstream = \"http://{app}\"\n";
    let world = World::with().routes(routes).host("other.localhost").start().await;
    let other = world.url.replace("localhost", "other.localhost");
    let mut browser = world.signed_in().await;
    let id = browser.cookie("localhost", "portcullis").unwrap();
    let mut carried = world.browser();
    carried.set_cookie("other.localhost", "portcullis", &id);
    assert_eq!(carried.get(format!("{other}/page")).await.status, 303);

    let reply = browser.sign_in(&format!("{other}/page"), people::STANDARD.username).await;
    assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, format!("{other}/page").as_str()));
    assert_eq!(world.app.last().one("x-forwarded-host").as_deref(), other.strip_prefix("http://"));
    let theirs = browser.cookie("other.localhost", "portcullis").unwrap();
    assert_ne!(theirs, id);
    assert!(is_in(&world, &mut browser).await);
    carried.set_cookie("localhost", "portcullis", &theirs);
    assert!(!is_in(&world, &mut carried).await);
}

#[tokio::test]
async fn a_login_that_began_at_one_host_does_not_end_at_another() {
    let routes =
        "[[route]]\nupstream = \"http://{app}\"\n[[route]]\nhost = \"other.localhost\"\nupstream = \"http://{app}\"\n";
    let world = World::with().routes(routes).host("other.localhost").start().await;
    let mut browser = world.browser();
    let callback = browser.sign_in_until_callback(&world.at("/"), people::STANDARD.username).await;
    for name in browser.cookie_names("localhost") {
        let value = browser.cookie("localhost", &name).unwrap();
        browser.set_cookie("other.localhost", &name, &value);
    }
    let elsewhere = callback.as_str().replace("localhost", "other.localhost");
    let reply = browser.get(elsewhere).await;
    assert_eq!(reply.refusal(), "attempt_forged");
    assert_eq!(browser.cookie("other.localhost", "portcullis"), None);
}
