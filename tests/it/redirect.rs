//! `[redirect]`: from http to https, to a configured host and nowhere else.

use tokio::net::TcpStream;

use crate::listeners::exchange;
use crate::stage::{field, until};
use crate::world::{Builder, World};

const TABLE: &str = "[redirect]\nlisten = \"127.0.0.1:0\"\n";

fn redirecting() -> Builder {
    World::with().tls().table(TABLE)
}

/// Everything that the redirect's listener says to these bytes, with its head in lower case.
async fn say(world: &World, bytes: impl AsRef<[u8]>) -> String {
    let address = world.gateway.redirect_address.expect("a redirect");
    exchange(TcpStream::connect(address).await.unwrap(), bytes).await.to_ascii_lowercase()
}

async fn get(world: &World, target: &str, host: &str) -> String {
    say(world, format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await
}

fn location(answer: &str) -> Option<&str> {
    field(answer.split("\r\n\r\n").next().unwrap(), "location")
}

#[tokio::test]
async fn a_visitor_is_led_to_the_same_page_over_https() {
    let world = redirecting().start().await;
    for (target, led_to) in
        [("/", "/"), ("/wiki/page?tab=2&q=a%20b", "/wiki/page?tab=2&q=a%20b"), ("/%61/b", "/a/b"), ("//x", "//x")]
    {
        for host in ["localhost", "localhost:80", "LOCALHOST:8080", "localhost."] {
            let answer = get(&world, target, host).await;
            assert!(answer.starts_with("http/1.1 308 "), "{answer}");
            assert_eq!(location(&answer), Some(format!("{}{led_to}", world.url).as_str()), "{target} {host}");
            assert!(answer.contains("connection: close"), "{answer}");
        }
    }
    let head = say(&world, "HEAD /x HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(head.starts_with("http/1.1 308 ") && head.ends_with("\r\n\r\n"), "{head}");
    let absolute = get(&world, "http://localhost/x?y", "localhost").await;
    assert_eq!(location(&absolute), Some(format!("{}/x?y", world.url).as_str()));
    assert_eq!(world.app.hits(), 0);
    let counted = "portcullis_requests_total{route=\"redirect\",decision=\"redirect\",status=\"3xx\"}";
    assert_eq!(world.metric(counted).await, 18);
}

#[tokio::test]
async fn the_host_of_a_route_is_led_to_itself() {
    let routes =
        "[[route]]\nupstream = \"http://{app}\"\n[[route]]\nhost = \"other.localhost\"\nupstream = \"http://{app}\"\n";
    let world = redirecting().host("other.localhost").routes(routes).start().await;
    let port = world.authority().rsplit(':').next().unwrap();
    let answer = get(&world, "/x", "other.localhost").await;
    assert_eq!(location(&answer), Some(format!("https://other.localhost:{port}/x").as_str()));
}

#[tokio::test]
async fn no_host_of_a_strangers_is_ever_led_to() {
    let world = redirecting().start().await;
    for head in [
        "GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: localhost.evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: localhost@evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: evil.example/localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: \r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nhost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: localhost\r\nx-forwarded-host: evil.example\r\nx: \r\nhost: evil.example\r\n\r\n",
        "GET @evil.example HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n\r\n",
    ] {
        let answer = say(&world, head).await;
        assert!(answer.starts_with("http/1.1 4"), "{head}: {answer}");
        assert_eq!(location(&answer), None, "{head}");
        assert!(!answer.contains("evil"), "{answer}");
    }
    let ours = say(&world, "GET //evil.example/ HTTP/1.1\r\nhost: localhost\r\nx-forwarded-host: evil\r\n\r\n").await;
    assert_eq!(location(&ours), Some(format!("{}//evil.example/", world.url).as_str()), "a path of ours");
    let refused = "portcullis_requests_total{route=\"redirect\",decision=\"refuse\",status=\"4xx\"}";
    assert!(world.metric(refused).await >= 8, "{}", world.metrics().await);
    assert!(world.metric("portcullis_refusals_total{code=\"wrong_host\"}").await >= 3);
}

#[tokio::test]
async fn a_target_with_two_readings_leads_nowhere() {
    let world = redirecting().start().await;
    for target in [
        "/../x",
        "/a/%2e%2e/x",
        "/a/..;/x",
        "/%0d%0aset-cookie:x=y",
        "/%0Ax",
        "/a\\b",
        "/..%5cevil",
        "/%",
        "/%zz",
        "*",
        "/%00",
        "/a\u{e4}",
    ] {
        let answer = get(&world, target, "localhost").await;
        assert!(answer.starts_with("http/1.1 400 "), "{target}: {answer}");
        assert_eq!(location(&answer), None, "{target}");
    }
    for split in ["/x HTTP/1.1\r\nset-cookie: x=y", "/x\nset-cookie: x=y", "/x\r\n\tset-cookie: x=y"] {
        let answer = get(&world, split, "localhost").await;
        assert!(!answer.contains("set-cookie"), "{answer}");
    }
}

#[tokio::test]
async fn what_was_sent_in_plain_text_is_not_asked_for_again() {
    let world = redirecting().start().await;
    for (head, status) in [
        ("POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\npassword", 405),
        ("PUT /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n", 405),
        ("OPTIONS /x HTTP/1.1\r\nhost: localhost\r\n\r\n", 405),
        ("TRACE /x HTTP/1.1\r\nhost: localhost\r\n\r\n", 405),
        ("GET /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\npassword", 413),
        ("GET /x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n8\r\npassword\r\n0\r\n\r\n", 413),
        ("GET /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ] {
        let answer = say(&world, head).await;
        assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{head}: {answer}");
        assert_eq!((location(&answer), answer.matches("http/1.1").count()), (None, 1), "{answer}");
        assert!(!answer.contains("password"), "{answer}");
    }
}

#[tokio::test]
async fn the_limits_are_those_of_the_front_door() {
    let world = redirecting().table("[limits]\nheader_timeout = \"300ms\"\nheader_size = \"8KiB\"").start().await;
    assert_eq!(say(&world, "GET / HT").await, "");
    until("its event", || async {
        world.metric("portcullis_server_events_total{event=\"header_timeout\"}").await == 1
    })
    .await;
    let large = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(10_000));
    assert!(say(&world, large).await.starts_with("http/1.1 431 "));
}

#[tokio::test]
async fn it_closes_with_the_front_door() {
    let world = redirecting().start().await;
    let address = world.gateway.redirect_address.unwrap();
    crate::stage::soon("the end", world.gateway.shutdown()).await;
    assert!(TcpStream::connect(address).await.is_err());
}
