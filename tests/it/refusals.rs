//! Declining politely: the right status, a stable code, a page for people and JSON for programs, and a way onward.

use hyper::Method;
use portcullis::emulator::people;

use crate::browser::Reply;
use crate::stage::{Line, field, length};
use crate::world::World;

const PAGE: [(&str, &str); 1] = [("accept", "text/html")];
const JSON: [(&str, &str); 1] = [("accept", "application/json")];

/// The request id that a page or a JSON answer shows.
fn request_id(reply: &Reply) -> String {
    let id = match serde_json::from_str::<serde_json::Value>(&reply.body) {
        Ok(json) => json["request_id"].as_str().unwrap_or_default().to_owned(),
        Err(_) => {
            let marked = reply.body.split("Request").nth(1).and_then(|rest| rest.split("<code>").nth(1));
            marked.and_then(|rest| rest.split('<').next()).unwrap_or_default().to_owned()
        }
    };
    assert!(id.len() >= 20 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id:?}: {}", reply.body);
    id
}

#[tokio::test]
async fn the_same_refusal_is_a_page_for_people_and_json_for_programs() {
    let world = World::new().await;
    let mut browser = world.browser();
    let address = world.at("/.portcullis/nothing-here");
    let page = browser.fetch(Method::GET, &address, &PAGE, "").await;
    let json = browser.fetch(Method::GET, &address, &JSON, "").await;
    for reply in [&page, &json] {
        assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (404, "unknown_page"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    assert_ne!(request_id(&page), request_id(&json), "each request has an id of its own");
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    for key in ["title", "message", "what_you_can_do", "administrator", "time"] {
        assert!(json.json()[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {}", json.body);
    }
    assert!(page.body.contains(json.json()["title"].as_str().unwrap()));
}

#[tokio::test]
async fn a_path_without_a_route_is_not_found_and_nobody_is_asked() {
    let world = World::with().routes("[[route]]\npath = \"/wiki\"\nupstream = \"http://{app}\"").start().await;
    for path in ["/", "/wikis", "/other"] {
        let reply = world.browser().fetch(Method::GET, world.at(path), &PAGE, "").await;
        assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (404, "no_route"), "{path}");
    }
    assert_eq!(world.browser().get(world.at("/wiki/page")).await.status, 303);
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn a_host_of_nobodys_is_misdirected() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    for host in ["evil.example", "localhost:1", "127.0.0.1", "localhost.evil.example"] {
        let mut line = Line::to(world.authority()).await;
        line.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\ncookie: {ticket}\r\naccept: text/html\r\n\r\n")).await;
        let head = line.head().await.unwrap();
        assert!(head.starts_with("http/1.1 421 "), "{host}: {head}");
        assert!(!head.contains("set-cookie") && !head.contains(host), "{head}");
    }
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn a_target_with_two_readings_is_refused_before_anybody_is_asked() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    let request =
        |target: &str| format!("GET {target} HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n\r\n", world.authority());
    let mut line = Line::to(world.authority()).await;
    for target in ["/a/../b", "/a/%2e%2e/b", "/a%00b", "/%zz", "/a\\b", "*"] {
        line.send(request(target)).await;
        let head = line.head().await.unwrap();
        assert!(head.starts_with("http/1.1 400 ") && field(&head, "connection").is_none(), "{target}: {head}");
        let body = String::from_utf8(line.take(length(&head)).await).unwrap();
        assert!(body.contains("\"bad_target\""), "{target}: {body}");
    }
    assert_eq!(world.app.hits(), 0);
    line.send(request("/good")).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 200 "), "on the very connection");
    // This one is no target at all, and nothing behind it is read.
    let mut line = Line::to(world.authority()).await;
    line.send(request("http:///") + &request("/behind")).await;
    let answer = String::from_utf8(line.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.matches("HTTP/1.1").count() == 1, "{answer}");
    assert_eq!(world.app.hits(), 1);
}

#[tokio::test]
async fn nothing_that_a_browser_sent_is_shown_on_a_page() {
    let world = World::new().await;
    let mut browser = world.browser();
    let evil = "%3Cscript%3Ealert(1)%3C/script%3E%22onload=";
    for path in [
        format!("/.portcullis/{evil}"),
        format!("/.portcullis/callback?state={evil}&code={evil}"),
        format!("/.portcullis/callback?error={evil}&error_description={evil}&state=x"),
        format!("/.portcullis/me?{evil}"),
    ] {
        let reply = browser.fetch(Method::GET, world.at(&path), &PAGE, "").await;
        assert!(reply.status.is_client_error(), "{path}: {}", reply.status);
        assert!(!reply.body.contains("alert(1)"), "{path}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_callback_that_nobody_asked_for_is_refused() {
    let world = World::new().await;
    for (query, code) in [
        ("", "state_mismatch"),
        ("?code=x", "state_mismatch"),
        ("?state=x&code=y", "attempt_missing"),
        ("?state=x&state=y&code=z", "parameter_repeated"),
        ("?state=&code=", "attempt_missing"),
        ("?error=access_denied&state=x", "attempt_missing"),
        // some of Salesforce's errors come without a state, and are worth explaining
        ("?error=redirect_uri_mismatch", "salesforce_redirect_uri_mismatch"),
    ] {
        let reply = world.browser().get(world.at(&format!("/.portcullis/callback{query}"))).await;
        assert_eq!(reply.refusal(), code, "{query:?}");
        assert!((400..600).contains(&reply.status.as_u16()) && reply.status != 500, "{query:?}");
        assert!(reply.links().iter().any(|link| link.path() == "/.portcullis/start"), "{query:?}");
    }
    assert_eq!(world.org.count("token"), 0);
}

#[tokio::test]
async fn a_redirect_loop_ends_at_the_third_bounce_with_a_page_that_names_it() {
    let world = World::new().await;
    let mut browser = world.browser();
    for bounce in 1..=3 {
        let reply = browser.sign_in(&world.at("/page"), people::STANDARD.username).await;
        assert_eq!(reply.status, 200, "bounce {bounce}");
        // a browser, or something in between, that does not keep the session
        browser.forget_cookie("localhost", "portcullis");
    }
    let asked = world.org.count("authorize");
    let reply = browser.get(world.at("/page?x=1")).await;
    assert_eq!(reply.refusal(), "redirect_loop");
    assert!(reply.status.is_client_error(), "{}", reply.status);
    assert_eq!(world.org.count("authorize"), asked);
    // the page's own link starts over, once the cause is gone
    let onward = reply.links().into_iter().find(|link| link.path() == "/.portcullis/start").expect("a way onward");
    let reply = browser.sign_in(onward.as_str(), people::STANDARD.username).await;
    assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, world.at("/page?x=1").as_str()));
}

#[tokio::test]
async fn signing_in_now_and_then_is_no_loop() {
    let world = World::new().await;
    let mut browser = world.browser();
    for _ in 0..6 {
        assert_eq!(browser.sign_in(&world.at("/page"), people::STANDARD.username).await.status, 200);
        let sign_out = url::Url::parse(&world.at("/.portcullis/sign-out")).unwrap();
        assert_eq!(browser.post(&sign_out, &[]).await.status, 303);
    }
}

#[tokio::test]
async fn a_provider_that_is_down_is_a_502_and_the_app_stays_closed() {
    let world = World::with().mischief(portcullis::emulator::Mischief::DiscoveryDown).start().await;
    let reply = world.browser().get(world.at("/page")).await;
    assert_eq!(reply.refusal(), "provider_unreachable");
    assert!(matches!(reply.status.as_u16(), 502..=504), "{}", reply.status);
    let program = world.browser().fetch(Method::GET, world.at("/page"), &JSON, "").await;
    assert_eq!(program.status, 401, "a program is told where to sign in, whether or not that works now");
    assert_eq!(world.app.hits(), 0);
    world.org.behave();
}

#[tokio::test]
async fn an_expectation_that_nobody_knows_fails() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    let headers = [("cookie", ticket.as_str()), ("expect", "a-miracle")];
    let reply = world.browser().fetch(Method::POST, world.at("/"), &headers, "").await;
    assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (417, "expectation_failed"));
    assert_eq!(world.app.hits(), 0);
}
