//! What somebody meets who has not signed in: the way to do so, and never the app.

use hyper::{Method, StatusCode};

use crate::world::World;

#[tokio::test]
async fn a_navigation_is_sent_to_sign_in() {
    let world = World::new().await;
    let reply = world.browser().get(world.at("/deep/page?x=1&y=a%20b")).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    let location = reply.location();
    assert!(location.as_str().starts_with(world.org.org_url()), "{location}");
    for name in ["state", "nonce", "code_challenge"] {
        assert!(reply.parameter(name).unwrap().len() >= 43, "{name}");
    }
    assert_eq!(reply.parameter("code_challenge_method").as_deref(), Some("S256"));
    assert_eq!(reply.parameter("scope").as_deref(), Some("openid profile email"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn a_program_is_told_where_to_sign_in() {
    let world = World::new().await;
    let mut browser = world.browser();
    for (method, headers) in [
        (Method::GET, &[("accept", "application/json")][..]),
        (Method::GET, &[("accept", "*/*")]),
        (Method::GET, &[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")]),
        (Method::GET, &[("accept", "text/html"), ("sec-fetch-mode", "cors")]),
        (Method::POST, &[("accept", "text/html")]),
        (Method::DELETE, &[]),
        (Method::HEAD, &[("accept", "text/html")]),
        (Method::OPTIONS, &[]),
        (Method::GET, &[("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")]),
    ] {
        let reply = browser.fetch(method.clone(), world.at("/api"), headers, "").await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{method} {headers:?}");
        assert!(reply.header("www-authenticate").is_some(), "{method} {headers:?}");
        assert!(reply.cookies().is_empty(), "{method} {headers:?}");
        if method != Method::HEAD && !headers.contains(&("accept", "text/html")) {
            assert_eq!(reply.refusal(), "sign_in_required", "{method} {headers:?}");
            let sign_in = reply.json()["sign_in"].as_str().unwrap().to_owned();
            assert!(sign_in.starts_with(&world.at("/.portcullis/start")), "{sign_in}");
        }
    }
    assert_eq!(world.app.hits(), 0);
}
