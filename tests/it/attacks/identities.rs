//! A provider that lies, or somebody between us and it: whatever it sends, nobody is let in by it.

use portcullis::emulator::Mischief;

use super::*;
use crate::browser::TOKENS;

/// One sign-in while the provider misbehaves.
async fn attempt(world: &World, mischief: Mischief) {
    world.org.forget();
    world.org.set(mischief);
    let mut browser = world.browser();
    let mut reply = browser.get(world.at("/")).await;
    if reply.status == 303 {
        world.org.behave();
        let page = world.at("/");
        // The mischief may lie on the way to the callback or behind it.
        world.org.set(mischief);
        let callback = browser.sign_in_until_callback(&page, people::STANDARD.username).await;
        reply = browser.get(callback.as_str()).await;
    }
    assert!(
        reply.status.is_client_error() || reply.status.is_server_error(),
        "{mischief}: {} {:?}",
        reply.status,
        reply.header("location")
    );
    assert_eq!(browser.cookie("localhost", "portcullis"), None, "{mischief}");
    let text = format!("{} {:?}", reply.body, reply.headers);
    for secret in TOKENS.into_iter().chain(["invalid signature", "at_hash", "<b>"]) {
        assert!(!text.contains(secret), "{mischief} tells {secret}: {text}");
    }
    world.org.behave();
}

// T-JWT-3, T-JWT-6, T-JWT-4, T-DOS-9 and CVE-2026-26998, T-FAIL-1; the provider's own tests hold each reason.
#[tokio::test]
async fn no_lie_of_the_provider_signs_anybody_in() {
    let world = World::with().provider("organizations = [\"00D5g00000PrtClEAJ\"]\ntimeout = \"1s\"").start().await;
    for lie in Mischief::ALL.iter().filter(|lie| !lie.is_benign()) {
        let early =
            lie.name().starts_with("discovery") || lie.name().starts_with("keys") || lie.name() == "unknown-kid";
        if !early && !matches!(lie, Mischief::CallbackError(_) | Mischief::TokenError(_)) {
            attempt(&world, *lie).await;
        }
    }
    assert_eq!(world.app.hits(), 0);
    let mut browser = world.browser();
    world.org.forget();
    assert_eq!(browser.sign_in(&world.at("/"), people::STANDARD.username).await.status, 200, "and then it behaves");
}

#[tokio::test]
async fn a_provider_that_lies_from_the_beginning_signs_nobody_in() {
    for lie in [
        Mischief::DiscoveryWrongIssuer,
        Mischief::DiscoveryElsewhere,
        Mischief::DiscoveryHtml,
        Mischief::DiscoveryRedirect,
        Mischief::DiscoveryDown,
        Mischief::KeysEmpty,
        Mischief::KeysHtml,
        Mischief::KeysDown,
    ] {
        let world = World::with().org(|org| org.mischief = Some(lie)).start().await;
        attempt(&world, lie).await;
        assert_eq!(world.app.hits(), 0, "{lie}");
    }
}

// T-DOS-7: tokens under unknown keys do not become a flood of questions for keys.
#[tokio::test]
async fn unknown_keys_are_asked_for_once() {
    let world = World::new().await;
    assert_eq!(world.browser().sign_in(&world.at("/"), people::STANDARD.username).await.status, 200);
    let before = world.org.count("keys");
    for _ in 0..6 {
        attempt(&world, Mischief::UnknownKeyId).await;
    }
    assert!(world.org.count("keys") <= before + 1, "{} questions", world.org.count("keys") - before);
}

// T-AUTHZ-2, CVE-2021-21411: each rule says no to somebody.
#[tokio::test]
async fn each_rule_keeps_somebody_out() {
    let world = World::new().await;
    for (person, code) in [
        (people::PARTNER, "user_type"),
        (people::FOREIGNER, "organization"),
        (people::INACTIVE, ""),
        (people::NOT_APPROVED, ""),
    ] {
        let mut browser = world.browser();
        let callback = browser.sign_in_until_callback(&world.at("/"), person.username).await;
        let reply = browser.get(callback.as_str()).await;
        assert!(reply.status.is_client_error(), "{}: {}", person.username, reply.status);
        assert!(reply.refusal().contains(code), "{}: {}", person.username, reply.refusal());
        assert_eq!(browser.cookie("localhost", "portcullis"), None);
    }
    assert_eq!(world.app.hits(), 0);
}
