//! Answers that nobody asked for: people who begin at a tile in Salesforce.

use super::*;

fn tile(world: &World, relay_state: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("RelayState", relay_state).finish();
    format!("{}{IDP_LOGIN}?app={}&{query}", world.org.org_url(), world.org.app().saml.id)
}

#[tokio::test]
async fn who_comes_in_from_a_tile_is_asked_to_begin_here() {
    let world = World::with().saml().start().await;
    let mut browser = world.browser();
    let reply = browser.try_sign_in(&tile(&world, ""), STANDARD, "allow").await;
    assert_eq!(stays_outside(&world, &mut browser, &reply).await, "saml_unsolicited");
    assert!(reply.body.contains("Please begin here"), "{}", reply.body);
}

#[tokio::test]
async fn a_tile_lets_people_in_where_that_is_allowed() {
    let world = World::with().saml_lines("allow_idp_initiated = true").start().await;
    for (state, page) in [("", "/"), ("/reports?id=1", "/reports?id=1")] {
        let mut browser = world.browser();
        let reply = browser.try_sign_in(&tile(&world, state), STANDARD, "allow").await;
        assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, world.at(page).as_str()), "{}", reply.body);
    }
}

#[tokio::test]
async fn relay_state_to_elsewhere_is_not_followed() {
    let world = World::with().saml_lines("allow_idp_initiated = true").start().await;
    for state in ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "x"] {
        let mut browser = world.browser();
        let reply = browser.try_sign_in(&tile(&world, state), STANDARD, "allow").await;
        assert_eq!(stays_outside(&world, &mut browser, &reply).await, "saml_relay_state", "{state}");
    }
}

#[tokio::test]
async fn an_unasked_answer_is_good_for_one_use_too() {
    let world = World::with().saml_lines("allow_idp_initiated = true").start().await;
    let answer = world.browser().sign_in_until_form(&tile(&world, "/x"), STANDARD).await;
    assert_eq!(world.browser().submit(&answer).await.status, 303);
    let mut thief = world.browser();
    let reply = thief.submit(&answer).await;
    assert_eq!(reply.refusal(), "saml_replayed");
    assert_eq!(thief.cookie(world.host(), world.session_cookie()), None);
}
