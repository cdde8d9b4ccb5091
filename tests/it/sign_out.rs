//! Signing out: on purpose, from here, and for good.

use hyper::{Method, StatusCode};
use portcullis::emulator::people;
use url::Url;

use crate::browser::Browser;
use crate::world::World;

fn address(world: &World) -> Url {
    Url::parse(&world.at("/.portcullis/sign-out")).unwrap()
}

async fn is_in(world: &World, browser: &mut Browser) -> bool {
    browser.get(world.at("/page")).await.status == 200
}

#[tokio::test]
async fn a_sign_out_ends_the_session_and_not_only_the_cookie() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    let mut copy = browser.clone();
    let reply = browser.post(&address(&world), &[]).await;
    assert_eq!((reply.status.as_u16(), reply.location().path()), (303, "/.portcullis/signed-out"));
    assert_eq!(browser.cookie("localhost", "portcullis"), None, "the cookie is deleted");
    assert!(!is_in(&world, &mut browser).await);
    assert!(!is_in(&world, &mut copy).await, "whoever kept the cookie has nothing");
}

#[tokio::test]
async fn over_tls_a_sign_out_deletes_the_prefixed_cookie() {
    let world = World::with().tls().start().await;
    let mut browser = world.signed_in().await;
    let reply = browser.post(&address(&world), &[]).await;
    let line = reply.cookies().into_iter().find(|line| line.starts_with("__Host-portcullis=;")).expect("a deletion");
    assert!(line.contains("Max-Age=0") && line.contains("; Secure"), "browsers keep it otherwise: {line}");
    assert_eq!(browser.cookie("localhost", "__Host-portcullis"), None);
    assert!(!is_in(&world, &mut browser).await);
}

#[tokio::test]
async fn the_page_after_a_sign_out_does_not_sign_in_again() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    let asked = world.org.count("authorize");
    let reply = browser.post(&address(&world), &[]).await;
    let page = browser.follow(reply).await;
    assert_eq!(page.status, 200);
    assert!(page.links().iter().any(|link| link.path() == "/.portcullis/start"), "{:?}", page.links());
    assert!(page.header("refresh").is_none() && !page.body.contains("<script"));
    assert_eq!(world.org.count("authorize"), asked);
    assert_eq!(browser.cookie("localhost", "portcullis"), None);
}

#[tokio::test]
async fn a_get_shows_a_button_and_changes_nothing() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    let page = browser.get(address(&world)).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("method=\"post\"") && page.body.contains(&people::STANDARD.name()), "{}", page.body);
    assert!(page.cookies().is_empty());
    assert!(is_in(&world, &mut browser).await);
    let reply = browser.post(&address(&world), &[]).await;
    assert_eq!(reply.status, 303);
}

#[tokio::test]
async fn nobody_is_signed_out_by_another_site() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "http://localhost")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[],
    ] {
        let reply = browser.fetch(Method::POST, address(&world), headers, "").await;
        assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (403, "cross_site"), "{headers:?}");
        assert!(reply.cookies().is_empty(), "{headers:?}");
    }
    assert!(is_in(&world, &mut browser).await);
}

#[tokio::test]
async fn a_program_of_this_origin_signs_out_too() {
    let world = World::new().await;
    for headers in [[("origin", world.url.as_str())], [("sec-fetch-site", "same-origin")]] {
        let mut browser = world.signed_in().await;
        let reply = browser.fetch(Method::POST, address(&world), &headers, "").await;
        assert_eq!((reply.status.as_u16(), reply.json()["signed_out"].as_bool()), (200, Some(true)));
        assert!(!is_in(&world, &mut browser).await);
    }
}

#[tokio::test]
async fn signing_out_twice_is_signing_out() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    for _ in 0..2 {
        assert_eq!(browser.post(&address(&world), &[]).await.status, 303);
    }
    let reply = browser.get(address(&world)).await;
    assert_eq!(reply.location().path(), "/.portcullis/signed-out", "there is nobody to sign out");
}

#[tokio::test]
async fn other_browsers_of_the_same_person_stay_in() {
    let world = World::new().await;
    let mut here = world.signed_in().await;
    let mut there = world.signed_in().await;
    here.post(&address(&world), &[]).await;
    assert!(!is_in(&world, &mut here).await);
    assert!(is_in(&world, &mut there).await);
}

#[tokio::test]
async fn a_huge_form_signs_nobody_out() {
    let world = World::with().table("[limits]\nlogin_body = \"1KiB\"").start().await;
    let mut browser = world.signed_in().await;
    let origin = [("origin", world.url.as_str())];
    let reply = browser.fetch(Method::POST, address(&world), &origin, vec![b'x'; 1025]).await;
    assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (413, "body_too_large"));
    assert!(is_in(&world, &mut browser).await);
    let reply = browser.fetch(Method::POST, address(&world), &origin, vec![b'x'; 1024]).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn our_pages_have_the_methods_that_they_have() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    for (page, method, allow) in [
        ("sign-out", Method::PUT, "GET, HEAD, POST"),
        ("sign-out", Method::DELETE, "GET, HEAD, POST"),
        ("signed-out", Method::POST, "GET, HEAD"),
        ("me", Method::POST, "GET, HEAD"),
        ("start", Method::POST, "GET"),
        ("callback", Method::POST, "GET"),
        ("callback", Method::HEAD, "GET"),
    ] {
        let reply = browser.fetch(method.clone(), world.at(&format!("/.portcullis/{page}")), &[], "").await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {page}");
        assert_eq!(reply.header("allow"), Some(allow), "{method} {page}");
    }
    assert_eq!(world.app.hits(), 1, "and none of it reaches the app");
}
