//! OpenID Connect with Salesforce: every way that it is set up, every way that it is odd, every way that it is wrong.

use std::time::Duration;

use portcullis::emulator::settings::{Audience, Basic, IdTokenClaims, OrgKind, Redirects, SecretPolicy, UserInfo};
use portcullis::emulator::{Mischief, people};
use portcullis::refusal::salesforce::SalesforceError;

use crate::browser::Reply;
use crate::world::{Base, Builder, World};

mod client;
mod mischief;

const STANDARD: &str = people::STANDARD.username;

/// Signs the standard user in, and sees that it is them who arrives.
async fn everybody_gets_in(world: &World) {
    let before = world.app.hits();
    let mut browser = world.browser();
    let reply = browser.try_sign_in(&world.at("/page"), STANDARD, "allow").await;
    assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, world.at("/page").as_str()), "{}", reply.body);
    assert_eq!(world.app.hits(), before + 1);
    assert_eq!(world.app.last().one("x-salesforce-user-id").as_deref(), Some(people::STANDARD.user));
}

/// Lets somebody try, sees that they stay outside and that the page explains it; returns the refusal's code.
async fn nobody_gets_in(world: &World, username: &str, decision: &str) -> String {
    let mut browser = world.browser();
    let reply = browser.try_sign_in(&world.at("/page"), username, decision).await;
    let code = explained(&reply);
    assert_eq!(browser.cookie(world.host(), world.session_cookie()), None, "{code}");
    let again = browser.get(world.at("/page")).await;
    assert!(!again.status.is_success(), "{code}");
    assert_eq!(world.app.hits(), 0, "{code}");
    assert_eq!(world.metric("portcullis_sessions").await, 0, "{code}");
    code
}

/// The code of a refusal's page, which must say what happened in a way that helps.
fn explained(reply: &Reply) -> String {
    let code = reply.refusal();
    assert!(reply.status.is_client_error() || reply.status.is_server_error(), "{code}: {}", reply.status);
    assert_ne!(reply.status, 500, "{code}");
    assert!(!code.is_empty());
    assert!(reply.body.contains("Request"), "{code}: no request id: {}", reply.body);
    assert_eq!(reply.header("cache-control"), Some("no-store"), "{code}");
    code
}

fn with(provider: &str) -> Builder {
    World::with().provider(&format!("organizations = [\"{}\"]\n{provider}", people::HOME_ORGANIZATION))
}

// Where people sign in.

#[tokio::test]
async fn a_site_with_a_path_is_an_issuer_of_its_own() {
    let world = World::with().base(Base::Site).start().await;
    assert!(world.org.site_url().ends_with("/portal"));
    everybody_gets_in(&world).await;
}

#[tokio::test]
async fn the_shared_login_host_serves_the_listed_organization() {
    everybody_gets_in(&World::with().base(Base::Login).start().await).await;
}

#[tokio::test]
async fn the_shared_login_host_does_not_let_another_company_in() {
    let world = World::with().base(Base::Login).start().await;
    assert_eq!(nobody_gets_in(&world, people::FOREIGNER.username, "allow").await, "wrong_organization");
}

#[tokio::test]
async fn organizations_are_the_same_in_15_and_18_characters() {
    let short = &people::HOME_ORGANIZATION[..15];
    let world = World::with().provider(&format!("organizations = [\"{short}\"]")).start().await;
    everybody_gets_in(&world).await;
    assert_eq!(nobody_after(&world, people::FOREIGNER.username).await, "wrong_organization");
}

/// As `nobody_gets_in`, where somebody else is in already.
async fn nobody_after(world: &World, username: &str) -> String {
    let before = world.app.hits();
    let mut browser = world.browser();
    let code = explained(&browser.try_sign_in(&world.at("/page"), username, "allow").await);
    assert_eq!(browser.cookie(world.host(), world.session_cookie()), None, "{code}");
    assert_eq!(world.app.hits(), before, "{code}");
    code
}

#[tokio::test]
async fn a_sandbox_signs_in_as_production_does() {
    everybody_gets_in(&World::with().org(|org| org.kind = OrgKind::Sandbox).start().await).await;
}

#[tokio::test]
async fn an_org_that_goes_on_by_script_signs_in_too() {
    everybody_gets_in(&World::with().org(|org| org.redirects = Redirects::Script).start().await).await;
}

// What the org answers.

#[tokio::test]
async fn userinfo_is_asked_by_get_or_by_post() {
    let get = World::with().org(|org| org.app.userinfo = UserInfo::GetOnly).start().await;
    everybody_gets_in(&get).await;
    let post = with("userinfo_method = \"post\"").org(|org| org.app.userinfo = UserInfo::PostOnly).start().await;
    everybody_gets_in(&post).await;
}

#[tokio::test]
async fn a_userinfo_that_takes_the_other_method_signs_nobody_in() {
    let world = World::with().org(|org| org.app.userinfo = UserInfo::PostOnly).start().await;
    assert_eq!(nobody_gets_in(&world, STANDARD, "allow").await, "provider_unexpected_status");
}

#[tokio::test]
async fn the_audience_may_be_one_or_among_others() {
    let others = || vec!["another-app".to_owned(), "https://third.example".to_owned()];
    for audience in [Audience::Alone, Audience::Joined(others()), Audience::Array(others())] {
        let world = World::with().org(|org| org.app.audience = audience).start().await;
        everybody_gets_in(&world).await;
    }
}

#[tokio::test]
async fn an_id_token_with_standard_claims_is_read_too() {
    everybody_gets_in(&World::with().org(|org| org.app.id_token_claims = IdTokenClaims::Standard).start().await).await;
}

#[tokio::test]
async fn keys_are_rotated_while_people_sign_in() {
    let world = World::new().await;
    everybody_gets_in(&world).await;
    let fetched = world.org.count("keys");
    world.org.set(Mischief::NextKeySigns);
    everybody_gets_in(&world).await;
    assert_eq!(world.org.count("keys"), fetched, "the next key was published already");
    world.org.set(Mischief::KeysRotated);
    everybody_gets_in(&world).await;
    assert_eq!(world.org.count("keys"), fetched + 1, "an unknown key is looked up once");
}

#[tokio::test]
async fn a_stranger_cannot_make_us_fetch_keys_without_end() {
    let world = World::new().await;
    everybody_gets_in(&world).await;
    let fetched = world.org.count("keys");
    world.org.set(Mischief::UnknownKeyId);
    for _ in 0..4 {
        assert_eq!(nobody_after(&world, STANDARD).await, "provider_unknown_key");
    }
    assert!(world.org.count("keys") <= fetched + 1);
}

#[tokio::test]
async fn discovery_and_keys_are_not_asked_at_every_sign_in() {
    let world = World::new().await;
    for _ in 0..3 {
        everybody_gets_in(&world).await;
    }
    assert_eq!((world.org.count("discovery"), world.org.count("keys")), (1, 1));
    assert_eq!((world.org.count("token"), world.org.count("userinfo")), (3, 3));
}

#[tokio::test]
async fn without_a_list_of_organizations_my_domain_itself_vouches() {
    everybody_gets_in(&World::with().provider("").start().await).await;
}

#[tokio::test]
async fn people_who_sign_in_at_once_are_not_confused() {
    let world = World::new().await;
    let everybody = [people::STANDARD, people::ADMINISTRATOR, people::ACCENTED];
    let tries = (0..18).map(|number| {
        let (world, person) = (&world, everybody[number % everybody.len()]);
        async move {
            let mut browser = world.browser();
            let page = world.at(&format!("/page/{number}"));
            let reply = browser.sign_in(&page, person.username).await;
            assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, page.as_str()));
            let headers = [("accept", "application/json")];
            let me = browser.fetch(hyper::Method::GET, world.at("/.portcullis/me"), &headers, "").await;
            assert_eq!(me.json()["user_id"].as_str(), Some(person.user));
        }
    });
    futures_util::future::join_all(tries).await;
    assert_eq!(world.metric("portcullis_sessions").await, 18);
}

// What the org does oddly, and what it does wrong.

#[tokio::test]
async fn what_salesforce_does_oddly_signs_in() {
    for mischief in Mischief::ALL.iter().filter(|mischief| mischief.is_benign()) {
        let world = World::with().mischief(*mischief).start().await;
        everybody_gets_in(&world).await;
    }
}

// People.

#[tokio::test]
async fn whoever_left_is_refused() {
    let world = World::new().await;
    let code = nobody_gets_in(&world, people::INACTIVE.username, "allow").await;
    assert_eq!(code, SalesforceError::InactiveUser.code());
}

#[tokio::test]
async fn whoever_the_administrator_did_not_approve_is_refused() {
    let world = World::new().await;
    let code = nobody_gets_in(&world, people::NOT_APPROVED.username, "allow").await;
    assert_eq!(code, SalesforceError::AppAccessDenied.code());
}

#[tokio::test]
async fn whoever_denies_the_approval_stays_outside() {
    let world = World::new().await;
    assert_eq!(nobody_gets_in(&world, STANDARD, "deny").await, SalesforceError::AccessDenied.code());
}

#[tokio::test]
async fn another_company_is_refused_whatever_address_it_comes_by() {
    for base in [Base::MyDomain, Base::Login, Base::Site] {
        let world = World::with().base(base).start().await;
        assert_eq!(nobody_gets_in(&world, people::FOREIGNER.username, "allow").await, "wrong_organization");
    }
}

#[tokio::test]
async fn a_partner_is_no_colleague() {
    let world = World::new().await;
    assert_eq!(nobody_gets_in(&world, people::PARTNER.username, "allow").await, "user_type_not_allowed");
}

#[tokio::test]
async fn a_partner_is_let_in_where_the_configuration_says_so() {
    for types in ["[\"any\"]", "[\"PowerPartner\"]", "[\"STANDARD\", \"PowerPartner\"]"] {
        let world = with(&format!("user_types = {types}")).start().await;
        let reply = world.browser().sign_in(&world.at("/"), people::PARTNER.username).await;
        assert_eq!(reply.status, 200, "{types}: {}", reply.body);
        assert_eq!(world.app.last().one("x-salesforce-user-type").as_deref(), Some("PowerPartner"));
    }
}

#[tokio::test]
async fn a_list_of_user_types_is_the_whole_list() {
    let world = with("user_types = [\"PowerPartner\"]").start().await;
    assert_eq!(nobody_gets_in(&world, STANDARD, "allow").await, "user_type_not_allowed");
}
