//! Signing in, forwards: from a deep link to that very page, with the identity in headers.

use portcullis::emulator::people;

use crate::world::World;

#[tokio::test]
async fn a_deep_link_survives_the_sign_in() {
    let world = World::new().await;
    let mut browser = world.browser();
    let reply = browser.sign_in(&world.at("/deep/page?x=1&y=a%20b"), people::STANDARD.username).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.url.as_str(), world.at("/deep/page?x=1&y=a%20b"));
    let seen = world.app.last();
    assert_eq!(seen.target, "/deep/page?x=1&y=a%20b");
    assert_eq!(seen.one("x-salesforce-user-id").unwrap(), people::STANDARD.user);
    assert_eq!(seen.one("x-salesforce-organization-id").unwrap(), people::HOME_ORGANIZATION);
    assert_eq!(seen.one("x-salesforce-user-type").unwrap(), "STANDARD");
    assert_eq!(seen.one("x-forwarded-email").unwrap(), people::STANDARD.email);
    assert_eq!(seen.one("x-forwarded-preferred-username").unwrap(), people::STANDARD.username);
    assert_eq!(
        seen.one("x-forwarded-user").unwrap(),
        format!("{}@{}", people::STANDARD.user, people::HOME_ORGANIZATION)
    );
    assert_eq!(seen.one("cookie"), None, "the app never sees our cookies");
    assert_eq!(world.app.hits(), 1);
}
