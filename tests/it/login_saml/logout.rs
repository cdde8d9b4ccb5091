//! Signing out on both sides.

use super::*;

/// How often a single logout of that direction ended so.
async fn single_logouts(world: &World, direction: &str, outcome: &str) -> u64 {
    let labels = format!("provider=\"salesforce\",direction=\"{direction}\",outcome=\"{outcome}\"");
    world.metric(&format!("portcullis_single_logouts_total{{{labels}}}")).await
}

async fn sign_out_here(world: &World, browser: &mut Browser) -> Reply {
    let address = Url::parse(&world.at("/.portcullis/sign-out")).unwrap();
    let page = browser.get(&address).await;
    assert_eq!(page.status, 200, "{}", page.body);
    browser.post(&address, &[]).await
}

#[tokio::test]
async fn signing_out_here_signs_out_at_salesforce() {
    for binding in [Binding::Redirect, Binding::Post] {
        let lines = "sign_requests = true";
        let world = World::with().saml_binding(binding).saml_logout(binding).saml_lines(lines).start().await;
        let mut browser = everybody_gets_in(&world).await;
        let page = browser.get(world.at("/.portcullis/sign-out")).await;
        assert!(page.header("content-security-policy").unwrap().contains(world.org.org_url()));
        let mut reply = sign_out_here(&world, &mut browser).await;
        assert_eq!(browser.cookie(world.host(), world.session_cookie()), None, "the session here has ended at once");
        assert_eq!(world.metric("portcullis_sessions").await, 0);
        for _ in 0..10 {
            if reply.carries("SAMLRequest") || reply.carries("SAMLResponse") {
                reply = browser.submit(&reply).await;
            } else if reply.status.is_redirection() {
                reply = browser.get(reply.location()).await;
            }
        }
        assert_eq!(reply.url.as_str(), world.at("/.portcullis/signed-out"), "{}", reply.body);
        assert_eq!(world.org.count("saml-logout"), 2, "the request, and the page after it");
        for outcome in ["asked", "signed_out"] {
            assert_eq!(single_logouts(&world, "outgoing", outcome).await, 1, "{outcome}");
        }
        let mut again = browser.visit(world.at("/page")).await;
        if again.carries("SAMLRequest") {
            let sent = browser.submit(&again).await;
            again = browser.follow(sent).await;
        }
        assert!(again.body.contains("startURL"), "Salesforce asks who it is: {}", again.body);
    }
}

#[tokio::test]
async fn without_an_address_there_people_sign_out_here_alone() {
    let world = World::with().saml().start().await;
    let mut browser = everybody_gets_in(&world).await;
    let reply = sign_out_here(&world, &mut browser).await;
    assert_eq!(reply.location().path(), "/.portcullis/signed-out");
    assert_eq!(world.metric("portcullis_sessions").await, 0);
    assert!(!world.metrics().await.contains("portcullis_single_logouts_total{"), "nobody was asked");
}

/// Signs out at the org and carries its messages until nobody sends any more.
async fn sign_out_there(world: &World, browser: &mut Browser) -> Reply {
    let address = Url::parse(&format!("{}/secur/logout.jsp", world.org.org_url())).unwrap();
    let mut reply = browser.post(&address, &[]).await;
    for _ in 0..10 {
        if reply.carries("SAMLRequest") || reply.carries("SAMLResponse") {
            reply = browser.submit(&reply).await;
        } else if reply.status.is_redirection() {
            reply = browser.get(reply.location()).await;
        }
    }
    reply
}

#[tokio::test]
async fn signing_out_at_salesforce_signs_out_here() {
    for binding in [Binding::Redirect, Binding::Post] {
        let world = World::with().saml_logout(binding).saml_lines("sign_requests = true").start().await;
        let mut browser = everybody_gets_in(&world).await;
        let mut other = world.browser();
        other.sign_in(&world.at("/page"), people::ADMINISTRATOR.username).await;
        assert_eq!(world.metric("portcullis_sessions").await, 2);
        sign_out_there(&world, &mut browser).await;
        assert_eq!(world.org.count("saml-logout-answered"), 1, "we answer");
        assert_eq!(world.metric("portcullis_sessions").await, 1, "the others stay");
        assert_eq!(single_logouts(&world, "incoming", "signed_out").await, 1);
        let hits = world.app.hits();
        browser.get(world.at("/page")).await;
        assert_eq!(world.app.hits(), hits);
        assert_eq!(other.get(world.at("/page")).await.status, 200);
    }
}

#[tokio::test]
async fn a_logout_message_that_is_wrong_signs_nobody_out() {
    for binding in [Binding::Redirect, Binding::Post] {
        for &mischief in SamlMischief::ALL.iter().filter(|mischief| mischief.touches() == Touches::Logout) {
            let world = World::with().saml_logout(binding).saml_lines("sign_requests = true").start().await;
            let mut browser = everybody_gets_in(&world).await;
            world.org.set(mischief);
            let reply = sign_out_there(&world, &mut browser).await;
            assert!(reply.refusal().starts_with("saml_"), "{}: {}", mischief.name(), reply.body);
            assert_eq!(single_logouts(&world, "incoming", &reply.refusal()).await, 1, "{}", mischief.name());
            assert_eq!(world.metric("portcullis_sessions").await, 1, "{}", mischief.name());
            assert_eq!(browser.get(world.at("/page")).await.status, 200, "{}", mischief.name());
        }
    }
}

#[tokio::test]
async fn an_old_logout_request_signs_nobody_out_again() {
    let world = World::with().saml_logout(Binding::Post).saml_lines("sign_requests = true").start().await;
    let mut browser = everybody_gets_in(&world).await;
    sign_out_there(&world, &mut browser).await;
    let request = world.org.last_saml_form().unwrap();
    let message = request.field("SAMLRequest").expect("the org's request").to_owned();
    let browser = everybody_gets_in(&world).await;
    let elsewhere = Url::parse(world.org.org_url()).unwrap();
    let address = Url::parse(&request.action).unwrap();
    let reply = world.browser().post_from(&elsewhere, &address, &[("SAMLRequest", &message)]).await;
    assert_eq!(reply.refusal(), "saml_replayed");
    assert_eq!(world.metric("portcullis_sessions").await, 1);
    drop(browser);
}
