//! Who am I, until when, and what does the app see?

use hyper::Method;
use portcullis::emulator::people;

use crate::world::World;

const JSON: [(&str, &str); 1] = [("accept", "application/json")];

#[tokio::test]
async fn a_program_learns_who_is_signed_in_until_when_and_what_the_app_sees() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    let me = browser.fetch(Method::GET, world.at("/.portcullis/me"), &JSON, "").await.json();
    assert_eq!(me["name"], people::STANDARD.name());
    assert_eq!(me["username"], people::STANDARD.username);
    assert_eq!(me["email"], people::STANDARD.email);
    assert_eq!(me["user_id"], people::STANDARD.user);
    assert_eq!(me["organization_id"], people::HOME_ORGANIZATION);
    assert_eq!(me["user_type"], "STANDARD");
    assert_eq!(me["provider"], "salesforce");
    let moment = |name: &str| {
        let text = me[name].as_str().unwrap_or_else(|| panic!("{name}: {me}"));
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap()
    };
    let lifetime = moment("until") - moment("since");
    assert_eq!(lifetime.whole_hours(), 8);
    let idle = moment("idle_until") - moment("since");
    assert!((3600..3610).contains(&idle.whole_seconds()), "{idle}");
    // exactly what the app receives
    let seen = world.app.last();
    let headers = me["headers"].as_object().unwrap();
    assert!(headers.len() >= 6);
    for (name, value) in headers {
        assert_eq!(seen.one(name).as_deref(), value.as_str(), "{name}");
    }
}

#[tokio::test]
async fn a_person_gets_a_page() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    let page = browser.get(world.at("/.portcullis/me")).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    for words in [&people::STANDARD.name(), people::STANDARD.user, people::STANDARD.email, "x-salesforce-user-id"] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert!(page.links().iter().any(|link| link.path() == "/.portcullis/sign-out"));
}

#[tokio::test]
async fn nobody_is_nobody() {
    let world = World::new().await;
    let reply = world.browser().fetch(Method::GET, world.at("/.portcullis/me"), &JSON, "").await;
    assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (401, "sign_in_required"));
    assert!(reply.header("www-authenticate").is_some());
    let page = world.browser().get(world.at("/.portcullis/me")).await;
    assert_eq!((page.status.as_u16(), page.refusal().as_str()), (401, "sign_in_required"));
}

#[tokio::test]
async fn neither_token_nor_session_is_told() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    let id = browser.cookie("localhost", "portcullis").unwrap();
    for accept in ["application/json", "text/html"] {
        let reply = browser.fetch(Method::GET, world.at("/.portcullis/me"), &[("accept", accept)], "").await;
        assert!(!reply.body.contains(&id), "{accept}");
        assert!(!reply.body.contains("token"), "{accept}: {}", reply.body);
        assert!(!reply.body.contains("00D5g00000PrtCl!"), "{accept}");
    }
}

#[tokio::test]
async fn a_head_has_the_headers_alone() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    let reply = browser.fetch(Method::HEAD, world.at("/.portcullis/me"), &JSON, "").await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, ""));
    assert!(reply.header("content-length").is_some());
}

#[tokio::test]
async fn spoofed_names_change_nothing_about_who_i_am() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    let spoofed = [("accept", "application/json"), ("x-forwarded-email", "ceo@evil.example")];
    let reply = browser.fetch(Method::GET, world.at("/.portcullis/me"), &spoofed, "").await;
    assert!(!reply.body.contains("evil"), "{}", reply.body);
}
