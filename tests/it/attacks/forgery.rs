//! Forged callbacks: another browser's, another attempt's, doubled, empty, raced, and somebody else's code.

use std::collections::BTreeMap;

use super::*;

fn parts(callback: &url::Url) -> BTreeMap<String, String> {
    callback.query_pairs().into_owned().collect()
}

// T-CSRF-1, CVE-2023-27496, CVE-2026-49443, T-PARAM-1
#[tokio::test]
async fn a_callback_with_anything_missing_empty_or_doubled_signs_nobody_in() {
    let world = World::new().await;
    for forge in [
        |_: &str, _: &str| String::new(),
        |code: &str, _: &str| format!("code={code}"),
        |_: &str, state: &str| format!("state={state}"),
        |_: &str, state: &str| format!("code=&state={state}"),
        |code: &str, _: &str| format!("code={code}&state="),
        |code: &str, state: &str| format!("code={code}&code={code}&state={state}"),
        |code: &str, state: &str| format!("code={code}&state={state}&state={state}"),
        |code: &str, state: &str| format!("code={code}&state={state}&state=x"),
        |code: &str, state: &str| format!("code={code}&state={state}x"),
        |code: &str, state: &str| format!("code={code}&state={}", &state[1..]),
        |code: &str, state: &str| format!("code={code}&state={}", state.to_ascii_uppercase()),
        |code: &str, state: &str| format!("code={code}&state={state}%00"),
        |code: &str, state: &str| format!("code={code}&state={state}&iss=https://evil.example"),
        |code: &str, state: &str| format!("code={code}&state={state}&iss="),
        |code: &str, state: &str| format!("error=access_denied&code={code}&state={state}"),
        |code: &str, state: &str| format!("CODE={code}&STATE={state}"),
        |code: &str, state: &str| format!("code[]={code}&state[]={state}"),
        |code: &str, state: &str| format!("code={code};state={state}"),
        |_: &str, state: &str| format!("code=x&state={state}"),
        |_: &str, state: &str| format!("code={}&state={state}", "x".repeat(30_000)),
        |code: &str, _: &str| format!("code={code}&state={}", "x".repeat(30_000)),
        |_: &str, state: &str| format!("error={}&state={state}", "x".repeat(30_000)),
        |_: &str, state: &str| format!("id_token=x&access_token=x&token_type=Bearer&state={state}"),
    ] {
        let mut browser = world.browser();
        let callback = browser.sign_in_until_callback(&world.at("/"), people::STANDARD.username).await;
        let asked = parts(&callback);
        let encode = |name: &str| url::form_urlencoded::byte_serialize(asked[name].as_bytes()).collect::<String>();
        let query = forge(&encode("code"), &encode("state"));
        let reply = browser.get(world.at(&format!("/.portcullis/callback?{query}"))).await;
        assert!(reply.status.is_client_error(), "{query:.200}: {} {:?}", reply.status, reply.header("location"));
        assert_eq!(browser.cookie("localhost", "portcullis"), None, "{query:.200}");
        assert_eq!(browser.fetch(hyper::Method::GET, world.at("/"), &[], "").await.status, 401);
    }
    assert_eq!(world.app.hits(), 0);
}

// T-CSRF-2: an attacker's own, unused callback in the victim's browser.
#[tokio::test]
async fn an_attackers_callback_does_not_sign_a_victim_in() {
    let world = World::new().await;
    let mut attacker = world.browser();
    let callback = attacker.sign_in_until_callback(&world.at("/"), people::PARTNER.username).await;
    let theirs = parts(&callback);
    let mut victim = world.browser();
    let own = victim.get(world.at("/")).await.parameter("state").unwrap();
    let reply = victim.get(callback.as_str()).await;
    assert_eq!(reply.refusal(), "attempt_missing");
    // Nor with the victim's own state and the attacker's code: the code is bound to the attacker's challenge.
    let mut mixed = url::Url::parse(&world.at("/.portcullis/callback")).unwrap();
    mixed.query_pairs_mut().append_pair("code", &theirs["code"]).append_pair("state", &own);
    let reply = victim.get(mixed.as_str()).await;
    assert!(reply.status.is_client_error(), "{}", reply.body);
    assert_eq!(victim.cookie("localhost", "portcullis"), None);
    assert_eq!(world.app.hits(), 0);
}

// A stolen callback address without the cookie, and with the cookie of another attempt.
#[tokio::test]
async fn a_stolen_callback_signs_no_thief_in() {
    let world = World::new().await;
    let mut victim = world.browser();
    let callback = victim.sign_in_until_callback(&world.at("/"), people::STANDARD.username).await;
    let mut thief = world.browser();
    thief.get(world.at("/")).await;
    let reply = thief.get(callback.as_str()).await;
    assert_eq!(reply.refusal(), "attempt_missing");
    assert_eq!(thief.cookie("localhost", "portcullis"), None);
    assert_eq!(victim.visit(callback.as_str()).await.status, 200);
    // Used, it is worthless even with the cookie.
    let reply = thief.get(callback.as_str()).await;
    assert_eq!(reply.refusal(), "attempt_used");
}

#[tokio::test]
async fn two_callbacks_at_once_make_one_session() {
    let world = World::new().await;
    let mut browser = world.browser();
    let callback = browser.sign_in_until_callback(&world.at("/"), people::STANDARD.username).await;
    let replies = futures_util::future::join_all((0..8).map(|_| {
        let mut tab = browser.clone();
        let callback = callback.clone();
        async move { tab.get(callback.as_str()).await }
    }))
    .await;
    let signed_in = replies.iter().filter(|reply| {
        reply.cookies().iter().any(|line| line.starts_with("portcullis=") && !line.contains("Max-Age=0"))
    });
    assert_eq!(signed_in.count(), 1, "{replies:?}");
    assert_eq!(world.org.count("token"), 1, "the code was exchanged once");
}

#[tokio::test]
async fn a_callback_of_one_host_is_refused_at_another() {
    let routes = format!("{TWO_ROUTES}[[route]]\nhost = \"other.localhost\"\nupstream = \"http://{{app}}\"\n");
    let world = World::with().routes(&routes).start().await;
    let mut browser = world.browser();
    let callback = browser.sign_in_until_callback(&world.at("/"), people::STANDARD.username).await;
    let name = browser.cookie_names("localhost").into_iter().find(|name| name.contains("attempt")).unwrap();
    browser.set_cookie("other.localhost", &name, &browser.cookie("localhost", &name).unwrap());
    let elsewhere = callback.as_str().replace("//localhost", "//other.localhost");
    let reply = browser.get(&elsewhere).await;
    assert_eq!(reply.refusal(), "attempt_forged");
    assert_eq!(browser.cookie("other.localhost", "portcullis"), None);
}

// T-SESS-1, CVE-2026-34454: an id from before the sign-in is never the id after it.
#[tokio::test]
async fn a_planted_session_id_is_not_taken_up() {
    let world = World::new().await;
    let mut victim = world.browser();
    let planted = "P".repeat(43);
    victim.set_cookie("localhost", "portcullis", &planted);
    victim.sign_in(&world.at("/"), people::STANDARD.username).await;
    let first = victim.cookie("localhost", "portcullis").unwrap();
    assert_ne!(first, planted);
    let mut attacker = world.browser();
    attacker.set_cookie("localhost", "portcullis", &planted);
    assert_eq!(attacker.fetch(hyper::Method::GET, world.at("/"), &[], "").await.status, 401);
    // Signing in again ends the session before.
    let callback = victim.sign_in_until_callback(&world.at("/.portcullis/start"), people::STANDARD.username).await;
    victim.visit(callback.as_str()).await;
    let second = victim.cookie("localhost", "portcullis").unwrap();
    assert_ne!(second, first);
    attacker.set_cookie("localhost", "portcullis", &first);
    assert_eq!(attacker.fetch(hyper::Method::GET, world.at("/"), &[], "").await.status, 401);
}

// ASVS 3.5.1
#[tokio::test]
async fn no_other_page_can_sign_somebody_out() {
    let world = World::new().await;
    let browser = world.signed_in().await;
    let url = world.at("/.portcullis/sign-out");
    let own = world.url.clone();
    for lines in [
        vec![],
        vec![("origin", "null")],
        vec![("origin", "https://evil.example")],
        vec![("origin", "http://localhost")],
        vec![("origin", "http://localhost.evil.example")],
        vec![("sec-fetch-site", "same-site")],
        vec![("sec-fetch-site", "cross-site"), ("referer", &own)],
        vec![("origin", "https://evil.example"), ("x-forwarded-host", "evil.example")],
        vec![("origin", &own), ("origin", "https://evil.example")],
    ] {
        let reply = browser.clone().fetch(hyper::Method::POST, &url, &lines, "").await;
        assert_eq!(reply.refusal(), "cross_site", "{lines:?}");
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "post"] {
        let reply = browser.clone().fetch(method.parse().unwrap(), &url, &[("origin", &own)], "").await;
        assert_eq!(reply.status, 405, "{method}");
    }
    assert_eq!(browser.clone().get(&url).await.status, 200, "GET only asks");
    assert_eq!(browser.clone().get(world.at("/")).await.status, 200, "still signed in");
}
