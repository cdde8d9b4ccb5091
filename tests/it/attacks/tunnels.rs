//! Tunnels: nothing runs past the gate before the app has agreed, and no foreign page opens one.

use super::*;

const OFFER: &str = "Connection: Upgrade\r\nConnection: close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

// RFC 6455 section 10.2
#[tokio::test]
async fn a_foreign_page_opens_no_tunnel() {
    let world = half_open().await;
    let cookie = session_of(&world).await;
    let hits = world.app.hits();
    let own = &world.url;
    for origin in [
        "https://evil.example",
        "null",
        "",
        "http://localhost",
        "http://localhost.evil.example",
        &format!("{own}.evil.example"),
        &format!("{own}/"),
        &format!("{own}, https://evil.example"),
        &own.replace("http:", "https:"),
        &own.to_ascii_uppercase(),
    ] {
        for path in ["/closed", "/pub/x"] {
            let lines = format!("{OFFER}Cookie: {cookie}\r\nOrigin: {origin}\r\n");
            let heard = say(&world, head(&world, &format!("GET {path} HTTP/1.1"), &lines)).await;
            assert_eq!(heard.statuses(), [403], "{origin} {path}: {}", heard.text());
        }
    }
    let twice = format!("{OFFER}Cookie: {cookie}\r\nOrigin: {own}\r\nOrigin: https://evil.example\r\n");
    assert_eq!(say(&world, head(&world, "GET /closed HTTP/1.1", &twice)).await.statuses(), [403]);
    assert_eq!(world.app.hits(), hits);
    still_standing(&world).await;
}

#[tokio::test]
async fn a_stranger_opens_no_tunnel_anywhere() {
    let world = half_open().await;
    for path in ["/closed", "/pub/x", "/.portcullis/me", "/.portcullis/start"] {
        for offer in [
            OFFER,
            "Connection: upgrade\r\nUpgrade: foo/1\r\n",
            "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
        ] {
            let heard = say(&world, head(&world, &format!("GET {path} HTTP/1.1"), offer)).await;
            assert!(matches!(heard.statuses()[..], [303 | 401]), "{path}: {}", heard.text());
        }
    }
    assert_eq!(world.app.hits(), 0);
    still_standing(&world).await;
}

// CVE-2026-2833: bytes behind an upgrade that the app declines are the next request, and judged.
#[tokio::test]
async fn bytes_before_the_apps_agreement_are_judged() {
    let world = half_open().await;
    let cookie = session_of(&world).await;
    let smuggled = head(&world, "GET /smuggled HTTP/1.1", "X-Salesforce-User-Id: evil-identity\r\n");
    let offer = head(
        &world,
        "GET /closed HTTP/1.1",
        &format!("{}Cookie: {cookie}\r\n", OFFER.replace("Connection: close\r\n", "")),
    );
    let heard = say(&world, format!("{offer}{smuggled}")).await;
    assert_eq!(heard.statuses()[0], 200, "the app declines: {}", heard.text());
    assert!(heard.statuses().len() == 1 || heard.statuses()[1] == 401, "{}", heard.text());
    let seen = world.app.last();
    assert_eq!(
        (seen.one("upgrade").as_deref(), seen.one("connection").as_deref()),
        (Some("websocket"), Some("upgrade"))
    );
    still_standing(&world).await;
}

#[tokio::test]
async fn an_upgrade_with_a_body_or_several_protocols_is_refused() {
    let world = half_open().await;
    let cookie = session_of(&world).await;
    let hits = world.app.hits();
    for (method, lines, body) in [
        ("GET", "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n", "hello"),
        ("GET", "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("POST", "Connection: Upgrade\r\nUpgrade: websocket\r\n", ""),
        ("GET", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", ""),
        ("GET", "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n", ""),
        ("GET", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n", ""),
        ("GET", "Connection: Upgrade\r\nUpgrade: \r\n", ""),
    ] {
        let bytes = format!(
            "{}{body}",
            head(&world, &format!("{method} /closed HTTP/1.1"), &format!("{lines}Cookie: {cookie}\r\n"))
        );
        let heard = say(&world, bytes).await;
        assert_eq!(heard.statuses(), [400], "{lines}: {}", heard.text());
        assert!(heard.closed, "{lines}");
    }
    let old = say(&world, head(&world, "GET /closed HTTP/1.0", &format!("{OFFER}Cookie: {cookie}\r\n"))).await;
    assert_eq!(old.statuses(), [400], "{}", old.text());
    assert_eq!(world.app.hits(), hits);
    still_standing(&world).await;
}

#[tokio::test]
async fn a_tunnel_ends_with_its_session() {
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSet-Cookie: portcullis=evil\r\nX-Hop: 1\r\n\r\nwelcome";
    let (authority, _heads) = framing::scripted(answer).await;
    let world = World::with().routes(&TWO_ROUTES.replace("{app}", &authority)).start().await;
    let (mut browser, id) = arrive(&world).await;
    let mut stream = TcpStream::connect(world.gateway.address).await.unwrap();
    stream
        .write_all(head(&world, "GET /socket HTTP/1.1", &format!("{OFFER}Cookie: portcullis={id}\r\n")).as_bytes())
        .await
        .unwrap();
    let heard = listen(&mut stream).await;
    assert_eq!(heard.statuses(), [101], "{}", heard.text());
    assert!(!heard.closed && heard.text().ends_with("welcome") && !heard.text().contains("evil"), "{}", heard.text());
    let url = url::Url::parse(&world.at("/.portcullis/sign-out")).unwrap();
    browser.post(&url, &[]).await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut rest)).await;
    ended.expect("the tunnel goes on").ok();
}
