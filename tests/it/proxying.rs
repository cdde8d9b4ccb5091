//! Between client and app as RFC 9110 and 9112 oblige a proxy to be, on HTTP/1.0, HTTP/1.1 and HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::browser::name;
use crate::stage::{Ear, Line, Stage, field, length, soon};
use crate::world::{World, free_port};

mod multiplexed;
mod trouble;

fn head(world: &World, ticket: &str, line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n{more}\r\n", world.authority())
}

/// A world in front of a script, and a ticket to it.
async fn world_of(stage: &Stage) -> (World, String) {
    let world = World::with().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    (world, ticket)
}

/// An app that answers every request of a connection with the same text.
async fn parrot(answer: &'static str) -> Stage {
    Stage::play(move |mut line: Line, _| async move {
        while let Some(head) = line.head().await {
            line.take(length(&head)).await;
            line.send(answer).await;
        }
    })
    .await
}

/// One request of a signed-in program to a script; the refusal's code when it is one.
async fn ask(world: &World, ticket: &str, method: hyper::Method) -> (u16, String) {
    let headers = [("cookie", ticket), ("accept", "application/json")];
    let reply = world.browser().fetch(method, world.at("/"), &headers, "").await;
    let code = serde_json::from_str::<serde_json::Value>(&reply.body).ok();
    (reply.status.as_u16(), code.and_then(|json| json["error"].as_str().map(str::to_owned)).unwrap_or(reply.body))
}

/// What comes up to this end, as it is written.
async fn hear(wire: &mut (impl AsyncRead + Unpin), end: &[u8]) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end) {
        all.push(soon("a byte", wire.read_u8()).await.unwrap());
    }
    String::from_utf8(all).unwrap()
}

// RFC 9110 section 5.1 has names mean the same in any case; who reads an app's log looks for what a client wrote.
#[tokio::test]
async fn names_keep_their_case_both_ways_and_ours_are_in_lower_case() {
    let (listener, authority) = Ear::tcp().await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let stage = Stage::listen(Ear::Tcp(listener), authority, move |mut wire, _| {
        let tell = tell.clone();
        async move {
            for _ in 0..2 {
                tell.send(hear(&mut wire, b"\r\n\r\n").await).unwrap();
                let answer =
                    "HTTP/1.1 200 OK\r\nX-AnSwEr: Kept\r\nconTent-Length: 2\r\nConnection: keep-alive\r\n\r\nok";
                wire.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    let (world, ticket) = world_of(&stage).await;
    let mut client = TcpStream::connect(world.gateway.address).await.unwrap();
    let lines =
        "CONNECTION: keep-alive\r\nX-CaSe:  Kept\r\nX-FORWARDED-user: evil\r\nx-FORWARDED-fOr: evil\r\naccept: a\r\n";
    for _ in 0..2 {
        client.write_all(head(&world, &ticket, "GET /", lines).as_bytes()).await.unwrap();
        let answer = hear(&mut client, b"\r\n\r\nok").await;
        assert!(answer.contains("\r\nX-AnSwEr: Kept\r\nconTent-Length: 2\r\n"), "{answer}");
        assert!(!answer.to_ascii_lowercase().contains("connection"), "{answer}");
        let asked = told.recv().await.unwrap();
        assert!(asked.contains("\r\nX-CaSe: Kept\r\naccept: a\r\n"), "{asked}");
        assert!(!asked.contains("evil") && !asked.contains("CONNECTION"), "{asked}");
        for name in ["host", "x-forwarded-user", "x-forwarded-for", "via"] {
            assert_eq!(asked.to_ascii_lowercase().matches(&format!("\r\n{name}: ")).count(), 1, "{name}: {asked}");
        }
    }
    assert_eq!(stage.connections(), 1);
}

// Answers without a body, and framing.

#[tokio::test]
async fn a_head_keeps_the_length_that_a_get_would_have() {
    let stage = parrot("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\netag: \"x\"\r\n\r\n").await;
    let (world, ticket) = world_of(&stage).await;
    let mut line = Line::to(world.authority()).await;
    for _ in 0..2 {
        line.send(head(&world, &ticket, "HEAD /", "")).await;
        let head = line.head().await.unwrap();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert_eq!((length(&head), field(&head, "etag")), (1234, Some("\"x\"")), "{head}");
        assert!(line.is_silent(Duration::from_millis(100)).await, "a body came");
    }
    assert_eq!(stage.connections(), 2, "an app that sends the body after all would answer the next request with it");
}

#[tokio::test]
async fn neither_204_nor_304_has_a_body() {
    for answer in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n"] {
        let stage = parrot(answer).await;
        let (world, ticket) = world_of(&stage).await;
        let mut line = Line::to(world.authority()).await;
        for _ in 0..2 {
            line.send(head(&world, &ticket, "GET /", "")).await;
            let head = line.head().await.unwrap();
            assert_eq!(&head[..12], &answer.to_lowercase()[..12]);
            assert_eq!((field(&head, "content-length"), field(&head, "transfer-encoding")), (None, None), "{head}");
            assert!(line.is_silent(Duration::from_millis(50)).await);
        }
        assert_eq!(stage.connections(), 1, "the connection is used again");
    }
}

#[tokio::test]
async fn a_body_keeps_its_length_or_comes_in_chunks() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    for (framing, body) in
        [("content-length: 5\r\n", "hello"), ("transfer-encoding: chunked\r\n", "2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")]
    {
        let mut line = Line::to(world.authority()).await;
        line.send(head(&world, &ticket, "POST /upload", framing) + body).await;
        let head = line.head().await.unwrap();
        assert_eq!(line.take(length(&head)).await, b"5");
        assert_eq!(&world.app.last().body[..], b"hello");
        let same = framing.trim().split_once(": ").unwrap();
        assert_eq!(world.app.last().one(same.0).as_deref(), Some(same.1));
    }
}

#[tokio::test]
async fn a_request_without_a_body_has_no_framing() {
    let world = World::new().await;
    world.signed_in().await;
    let seen = world.app.last();
    assert_eq!((seen.one("content-length"), seen.one("transfer-encoding")), (None, None));
    assert!(seen.body.is_empty());
}

#[tokio::test]
async fn an_app_that_ends_its_answer_by_closing_is_understood() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        line.send("HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nuntil the end").await;
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let reply = world.browser().fetch(hyper::Method::GET, world.at("/"), &[("cookie", &ticket)], "").await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, "until the end"));
}

// Expect: 100-continue.

#[tokio::test]
async fn a_body_is_asked_for_after_the_checks_and_not_before() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    let expect = "expect: 100-continue\r\ncontent-length: 5\r\n";

    let mut insider = Line::to(world.authority()).await;
    insider.send(head(&world, &ticket, "POST /upload", expect)).await;
    assert!(insider.head().await.unwrap().starts_with("http/1.1 100 "));
    insider.send("hello").await;
    assert!(insider.head().await.unwrap().starts_with("http/1.1 200 "));
    assert_eq!(world.app.last().one("expect"), None, "answered here, so not asked of the app");
    assert_eq!(&world.app.last().body[..], b"hello");

    let mut stranger = Line::to(world.authority()).await;
    stranger.send(head(&world, "a=b", "POST /upload", expect)).await;
    let reply = stranger.head().await.unwrap();
    assert!(reply.starts_with("http/1.1 401 "), "{reply}");
    assert_eq!(world.app.hits(), 1);
}

// Targets and hosts.

#[tokio::test]
async fn an_absolute_target_is_what_it_says() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, &format!("GET {}", world.at("/deep?x=1")), "")).await;
    let reply = line.head().await.unwrap();
    assert!(reply.starts_with("http/1.1 200 "), "{reply}");
    let seen = world.app.last();
    assert_eq!((seen.target.as_str(), seen.one("host").as_deref()), ("/deep?x=1", Some(world.authority())));
}

/// The answer is a 400, and the connection's end.
async fn refused_for_good(mut line: Line, what: &str) {
    let reply = line.head().await.unwrap();
    assert!(reply.starts_with("http/1.1 400 ") && field(&reply, "connection") == Some("close"), "{what:?}: {reply}");
    let body = String::from_utf8(line.rest().await).unwrap();
    assert!(body.len() == length(&reply) && body.contains("\"bad_request\""), "{what:?}: {body}");
}

#[tokio::test]
async fn a_target_and_a_host_that_contradict_each_other_are_refused() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    for target in ["http://evil.example/", "http://localhost/", "http://evil@localhost/"] {
        let mut line = Line::to(world.authority()).await;
        line.send(head(&world, &ticket, &format!("GET {target}"), "")).await;
        refused_for_good(line, target).await;
    }
    for hosts in ["", "host: localhost\r\nhost: localhost\r\n"] {
        let mut line = Line::to(world.authority()).await;
        line.send(format!("GET / HTTP/1.1\r\n{hosts}cookie: {ticket}\r\n\r\n")).await;
        refused_for_good(line, hosts).await;
    }
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn what_was_judged_is_what_is_forwarded() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    for (sent, received) in [
        ("/a%20b?q=%2F..%2F&x=a+b", "/a%20b?q=%2F..%2F&x=a+b"),
        ("/%C3%BC", "/%C3%BC"),
        ("/a;b=c/d", "/a;b=c/d"),
        ("/?", "/?"),
    ] {
        assert_eq!(browser.get(world.at(sent)).await.status, 200, "{sent}");
        assert_eq!(world.app.last().target, received);
    }
}

#[tokio::test]
async fn an_old_client_gets_an_answer_that_it_can_read() {
    let stage = parrot("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
    let (world, ticket) = world_of(&stage).await;
    let mut line = Line::to(world.authority()).await;
    line.send(format!("GET / HTTP/1.0\r\nhost: {}\r\ncookie: {ticket}\r\n\r\n", world.authority())).await;
    let head = line.head().await.unwrap();
    assert!(head.contains(" 200 ok") && field(&head, "transfer-encoding").is_none(), "{head}");
    assert_eq!(line.rest().await, b"ok", "the end of the connection is the end of the body");
}

// Connections to the app.

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let stage = parrot("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let (world, ticket) = world_of(&stage).await;
    for _ in 0..20 {
        assert_eq!(ask(&world, &ticket, hyper::Method::GET).await.0, 200);
    }
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn an_app_that_closes_after_each_answer_is_connected_to_again() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        line.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    for _ in 0..3 {
        assert_eq!(ask(&world, &ticket, hyper::Method::POST).await, (200, "ok".to_owned()));
    }
    assert_eq!(stage.connections(), 3);
}

/// Closes its first connection upon its second request, without an answer, as an app does whose keep-alive time
/// ends at that very moment.
async fn forgetful() -> Stage {
    Stage::play(|mut line: Line, number| async move {
        while let Some(head) = line.head().await {
            line.take(length(&head)).await;
            line.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            if number == 0 {
                line.head().await;
                return;
            }
        }
    })
    .await
}

/// What comes of a second request there, and over how many connections.
async fn second(method: hyper::Method) -> ((u16, String), usize) {
    let stage = forgetful().await;
    let (world, ticket) = world_of(&stage).await;
    assert_eq!(ask(&world, &ticket, hyper::Method::GET).await.0, 200);
    tokio::time::sleep(Duration::from_millis(700)).await;
    (ask(&world, &ticket, method).await, stage.connections())
}

#[tokio::test]
async fn a_safe_request_on_a_connection_that_just_closed_is_sent_again() {
    assert_eq!(second(hyper::Method::GET).await, ((200, "ok".to_owned()), 2));
}

#[tokio::test]
async fn a_request_that_changes_something_is_never_sent_twice() {
    assert_eq!(second(hyper::Method::DELETE).await, ((502, "upstream_misbehaved".to_owned()), 1));
}

// One that makes an app hang up would otherwise do so once for each connection that is kept.
#[tokio::test]
async fn a_request_is_sent_twice_at_most_however_many_connections_are_kept() {
    const KEPT: usize = 3;
    let (gathered, acted) = (Arc::new(tokio::sync::Barrier::new(KEPT)), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&acted);
    let stage = Stage::play(move |mut line: Line, number| {
        let (gathered, count) = (Arc::clone(&gathered), Arc::clone(&count));
        async move {
            if number < KEPT {
                line.head().await;
                gathered.wait().await;
                line.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
            if line.head().await.is_some() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let warm = || ask(&world, &ticket, hyper::Method::GET);
    let (one, two, three) = tokio::join!(warm(), warm(), warm());
    assert_eq!([one.0, two.0, three.0], [200; KEPT]);
    // Longer than an app's own close may be on its way.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(ask(&world, &ticket, hyper::Method::GET).await, (502, "upstream_misbehaved".to_owned()));
    assert_eq!(acted.load(Ordering::Relaxed), 2);
}

// HTTP/2, and TLS.

/// A connection with TLS that speaks this protocol.
pub async fn secured(world: &World, protocol: &[u8]) -> TlsStream<TcpStream> {
    let mut client = (*world.trust().expect("a world with TLS")).clone();
    client.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(world.gateway.address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    stream
}

pub async fn speak_http2<B>(world: &World) -> http2::SendRequest<B>
where
    B: hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + Unpin + 'static,
{
    let stream = secured(world, b"h2").await;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}
