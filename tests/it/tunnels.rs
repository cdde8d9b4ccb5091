//! WebSocket and other upgrades: for who is signed in, from here, and not a moment longer.

use futures_util::{SinkExt, StreamExt};
use portcullis::demo::app::App;
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest};

use crate::stage::{Line, Stage, field, soon};
use crate::streaming::sign_out;
use crate::world::World;

/// An app that goes on in a protocol of its own: it repeats what it is told, a line at a time.
async fn echo() -> Stage {
    Stage::play(|mut line: Line, _| async move {
        let head = line.head().await.unwrap();
        assert_eq!(field(&head, "upgrade"), Some("echo"), "{head}");
        assert_eq!(field(&head, "connection"), Some("upgrade"), "{head}");
        line.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
        while let Some(words) = line.head().await {
            line.send(words).await;
        }
    })
    .await
}

fn offer(world: &World, ticket: &str, protocol: &str, more: &str) -> String {
    let host = world.authority();
    format!(
        "GET /tunnel HTTP/1.1\r\nhost: {host}\r\ncookie: {ticket}\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n{more}\r\n"
    )
}

/// An open tunnel of a world of its own.
async fn opened(world: &World, ticket: &str) -> Line {
    let mut line = Line::to(world.authority()).await;
    line.send(offer(world, ticket, "echo", "")).await;
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert_eq!(field(&head, "upgrade"), Some("echo"));
    line.send("hello\r\n\r\n").await;
    assert_eq!(line.head().await.as_deref(), Some("hello\r\n\r\n"));
    line
}

#[tokio::test]
async fn a_websocket_talks_to_the_app() {
    let app = App::start().await.unwrap();
    let world = World::with().routes(&format!("[[route]]\nupstream = \"{}\"", app.url())).start().await;
    let ticket = world.ticket().await;
    let mut request = world.at("/socket").replace("http://", "ws://").into_client_request().unwrap();
    request.headers_mut().insert("cookie", ticket.parse().unwrap());
    request.headers_mut().insert("origin", world.url.parse().unwrap());
    let stream = tokio::net::TcpStream::connect(format!("127.0.0.1:{}", world.gateway.address.port())).await.unwrap();
    let (mut socket, reply) = soon("a handshake", tokio_tungstenite::client_async(request, stream)).await.unwrap();
    assert_eq!(reply.status(), 101);
    for words in ["one", "two"] {
        socket.send(Message::text(words)).await.unwrap();
        let answer = soon("an echo", async {
            loop {
                match socket.next().await.unwrap().unwrap() {
                    Message::Text(text) if text.contains(words) => return text,
                    Message::Text(_) | Message::Ping(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        });
        answer.await;
    }
    socket.close(None).await.unwrap();
    app.shutdown().await;
}

#[tokio::test]
async fn a_websocket_over_tls_talks_to_the_app() {
    let app = App::start().await.unwrap();
    let routes = format!("[[route]]\nupstream = \"{}\"", app.url());
    let world = World::with().tls().routes(&routes).start().await;
    let ticket = world.ticket().await;
    let mut request = world.at("/socket").replace("https://", "wss://").into_client_request().unwrap();
    request.headers_mut().insert("cookie", ticket.parse().unwrap());
    request.headers_mut().insert("origin", world.url.parse().unwrap());
    let stream = crate::proxying::secured(&world, b"http/1.1").await;
    let (mut socket, _) = soon("a handshake", tokio_tungstenite::client_async(request, stream)).await.unwrap();
    let large = "x".repeat(200_000);
    socket.send(Message::text(&large)).await.unwrap();
    let echo = soon("an echo", async {
        while let Some(message) = socket.next().await {
            if message.unwrap().into_text().is_ok_and(|text| text.contains(&large)) {
                return true;
            }
        }
        false
    });
    assert!(echo.await);
    sign_out(&world, &ticket).await;
    soon("the tunnel's end", async { while let Some(Ok(_)) = socket.next().await {} }).await;
    app.shutdown().await;
}

#[tokio::test]
async fn a_stranger_gets_no_websocket_and_the_app_hears_nothing() {
    let world = World::new().await;
    let request = world.at("/socket").replace("http://", "ws://").into_client_request().unwrap();
    let stream = tokio::net::TcpStream::connect(format!("127.0.0.1:{}", world.gateway.address.port())).await.unwrap();
    match tokio_tungstenite::client_async(request, stream).await {
        Err(tungstenite::Error::Http(reply)) => assert_eq!(reply.status(), 401),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn a_tunnel_on_a_public_path_needs_somebody_too() {
    let world = World::with().routes("[[route]]\npublic = true\nupstream = \"http://{app}\"").start().await;
    let mut line = Line::to(world.authority()).await;
    line.send(offer(&world, "a=b", "websocket", "")).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 401 "));
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn a_page_of_another_site_opens_no_tunnel_with_my_cookie() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    for origin in ["https://evil.example", "null", "http://localhost", "https://localhost:1"] {
        let mut line = Line::to(world.authority()).await;
        line.send(offer(&world, &ticket, "websocket", &format!("origin: {origin}\r\n"))).await;
        let head = line.head().await.unwrap();
        assert!(head.starts_with("http/1.1 403 "), "{origin}: {head}");
    }
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn any_protocol_passes_once_the_app_agrees() {
    let stage = echo().await;
    let world = World::with().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut line = opened(&world, &ticket).await;
    line.send("and again\r\n\r\n").await;
    assert_eq!(line.head().await.as_deref(), Some("and again\r\n\r\n"));
}

#[tokio::test]
async fn what_either_side_says_at_once_is_not_lost() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.head().await.unwrap();
        let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        line.send(format!("{head}welcome\r\n\r\n")).await;
        while let Some(words) = line.head().await {
            line.send(words).await;
        }
    })
    .await;
    let world = World::with().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    line.send(format!("{}early\r\n\r\n", offer(&world, &ticket, "echo", ""))).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 101 "));
    for words in ["welcome", "early"] {
        assert_eq!(line.head().await, Some(format!("{words}\r\n\r\n")));
    }
    line.send("late\r\n\r\n").await;
    assert_eq!(line.head().await.as_deref(), Some("late\r\n\r\n"));
}

#[tokio::test]
async fn a_tunnel_ends_at_the_sign_out_of_its_person_alone() {
    let stage = echo().await;
    let world = World::with().routes(&stage.route()).start().await;
    let (mine, theirs) = (world.ticket().await, world.ticket().await);
    let mut line = opened(&world, &mine).await;
    let mut other = opened(&world, &theirs).await;
    sign_out(&world, &mine).await;
    assert_eq!(line.rest().await, b"", "the tunnel is closed");
    other.send("still here\r\n\r\n").await;
    assert_eq!(other.head().await.as_deref(), Some("still here\r\n\r\n"));
}

#[tokio::test]
async fn a_tunnel_ends_at_its_sessions_latest_end() {
    let stage = echo().await;
    let world = World::with().routes(&stage.route()).table("[session]\nlifetime = \"3s\"").start().await;
    let ticket = world.ticket().await;
    let mut line = opened(&world, &ticket).await;
    assert_eq!(line.rest().await, b"");
}

#[tokio::test]
async fn a_silent_tunnel_ends() {
    let stage = echo().await;
    let world = World::with().routes(&stage.route()).table("[upstream]\ntunnel_idle_timeout = \"1s\"").start().await;
    let ticket = world.ticket().await;
    let mut line = opened(&world, &ticket).await;
    for _ in 0..4 {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        line.send("awake\r\n\r\n").await;
        assert_eq!(line.head().await.as_deref(), Some("awake\r\n\r\n"), "whoever talks stays");
    }
    assert_eq!(line.rest().await, b"");
}

#[tokio::test]
async fn an_app_that_declines_is_an_ordinary_answer() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    line.send(offer(&world, &ticket, "echo", "")).await;
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!(world.app.last().one("upgrade").as_deref(), Some("echo"));
}

#[tokio::test]
async fn h2c_is_never_passed_on() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    let host = world.authority();
    line.send(format!(
        "GET / HTTP/1.1\r\nhost: {host}\r\ncookie: {ticket}\r\nconnection: Upgrade, HTTP2-Settings\r\n\
         upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
    ))
    .await;
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    let seen = world.app.last();
    assert_eq!((seen.one("upgrade"), seen.one("http2-settings"), seen.one("connection")), (None, None, None));
}

#[tokio::test]
async fn nothing_is_tunnelled_before_the_app_agrees() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    // what follows the offer is another request, whatever the app makes of the offer
    let second = "GET /.portcullis/me HTTP/1.1\r\nhost: evil.example\r\n\r\n";
    line.send(format!("{}{second}", offer(&world, &ticket, "websocket", ""))).await;
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    line.take(crate::stage::length(&head)).await;
    let next = line.head().await.unwrap_or_default();
    assert!(next.is_empty() || next.starts_with("http/1.1 421 "), "{next}");
    assert_eq!(world.app.hits(), 1);
}
