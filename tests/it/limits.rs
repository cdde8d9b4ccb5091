//! What a client may cost: each limit ends what is beyond it, and names itself in the metrics.

use std::time::{Duration, Instant};

use crate::stage::{Line, field, length, until};
use crate::world::{Builder, World};

fn limited(limits: &str) -> Builder {
    World::with().table(&format!("[limits]\n{limits}"))
}

/// Waits until the limit of that name has been counted.
async fn named(world: &World, event: &str) {
    let metric = format!("portcullis_server_events_total{{event=\"{event}\"}}");
    until(event, || async { world.metric(&metric).await >= 1 }).await;
}

fn request(world: &World, more: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: {}\r\n{more}\r\n", world.authority())
}

#[tokio::test]
async fn a_head_beyond_its_size_is_a_431() {
    let world = limited("header_size = \"16KiB\"").start().await;
    let mut line = Line::to(world.authority()).await;
    line.send(request(&world, &format!("x-large: {}\r\n", "x".repeat(20_000)))).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 431 "));
    named(&world, "headers_too_large").await;
    let mut line = Line::to(world.authority()).await;
    line.send(request(&world, &format!("x-large: {}\r\n", "x".repeat(10_000)))).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 401 "));
}

#[tokio::test]
async fn too_many_fields_are_a_431() {
    let world = limited("headers = 20").start().await;
    let fields = |count| (0..count).map(|number| format!("x-{number}: 1\r\n")).collect::<String>();
    let mut line = Line::to(world.authority()).await;
    line.send(request(&world, &fields(30))).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 431 "));
    named(&world, "headers_too_large").await;
    let mut line = Line::to(world.authority()).await;
    line.send(request(&world, &fields(10))).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 401 "));
}

#[tokio::test]
async fn a_target_beyond_all_measure_is_refused() {
    // Within the size of a head a target has a limit of its own: the status names the one that is met first.
    for (size, length, status) in
        [("64KiB", 70_000, 431), ("256KiB", 65_534, 401), ("256KiB", 65_535, 414), ("256KiB", 300_000, 431)]
    {
        let world = limited(&format!("header_size = \"{size}\"")).start().await;
        let mut line = Line::to(world.authority()).await;
        let target = format!("/{}", "x".repeat(length - 1));
        line.send(format!("GET {target} HTTP/1.1\r\nhost: {}\r\n\r\n", world.authority())).await;
        let head = line.head().await.unwrap();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{length} of {size}: {head}");
        if status == 401 {
            continue;
        }
        assert_eq!((field(&head, "connection"), crate::stage::length(&head)), (Some("close"), 0), "{head}");
        assert_eq!(line.rest().await, b"", "{length} of {size}");
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_is_given_up() {
    let world = limited("header_timeout = \"400ms\"").start().await;
    let mut line = Line::to(world.authority()).await;
    let began = Instant::now();
    line.send("GET / HTTP/1.1\r\nhost: loc").await;
    // one byte now and then does not prolong it
    while began.elapsed() < Duration::from_secs(5) && line.send("a").await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(5), "it is still listened to");
    named(&world, "header_timeout").await;
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_more_is_closed() {
    let world = limited("header_timeout = \"300ms\"").start().await;
    let mut line = Line::to(world.authority()).await;
    line.send(request(&world, "")).await;
    let head = line.head().await.unwrap();
    line.take(length(&head)).await;
    assert_eq!(line.rest().await, b"");
    named(&world, "idle_timeout").await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_given_up() {
    let world = limited("handshake_timeout = \"300ms\"").tls().start().await;
    let mut line = Line::to(world.authority()).await;
    assert_eq!(line.rest().await, b"");
    named(&world, "handshake_timeout").await;
}

#[tokio::test]
async fn plain_text_at_a_tls_door_is_no_request() {
    let world = World::with().tls().start().await;
    let mut line = Line::to(world.authority()).await;
    line.send(request(&world, "")).await;
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 400 "), "{head}");
    assert!(line.take(length(&head)).await.starts_with(b"This port speaks TLS"));
    assert_eq!(line.rest().await, b"");
    named(&world, "plain_text").await;
    let mut line = Line::to(world.authority()).await;
    line.send("\0\0\0\0").await;
    assert_eq!(line.rest().await, b"\x15\x03\x03\0\x02\x02\x32", "a fatal alert of TLS: decode_error");
    named(&world, "handshake_failed").await;
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn one_connection_too_many_is_turned_away_and_comes_in_later() {
    let world = limited("connections = 2").start().await;
    let first = Line::to(world.authority()).await;
    let second = Line::to(world.authority()).await;
    until("two connections", || async { world.metric("portcullis_connections").await == 2 }).await;
    let mut third = Line::to(world.authority()).await;
    assert!(third.head().await.unwrap().starts_with("http/1.1 503 "));
    named(&world, "too_many_connections").await;
    drop((first, second));
    until("a free place", || async {
        let mut line = Line::to(world.authority()).await;
        line.send(request(&world, "")).await && line.head().await.is_some_and(|head| head.starts_with("http/1.1 401 "))
    })
    .await;
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let world = limited("body_idle_timeout = \"300ms\"").start().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    let host = world.authority();
    line.send(format!("POST /upload HTTP/1.1\r\nhost: {host}\r\ncookie: {ticket}\r\ncontent-length: 10\r\n\r\nhello"))
        .await;
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 408 ") && field(&head, "connection") == Some("close"), "{head}");
    let said = String::from_utf8(line.rest().await).unwrap();
    assert!(said.len() == length(&head) && said.contains("\"body_stalled\""), "and an end: {said}");
    named(&world, "body_timeout").await;
    // It was passed on as it came, and broke off there as well.
    assert!(world.app.everything().iter().all(|seen| seen.body.is_empty()), "{:?}", world.app.everything());
}

/// Sends an upload of that kind a few bytes at a time for as long as it is taken, up to ten windows.
async fn trickle(world: &World, ticket: &str, kind: &str) -> Line {
    let mut line = Line::to(world.authority()).await;
    let head = format!("POST /upload HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n", world.authority());
    line.send(format!("{head}accept: application/json\r\ncontent-type: {kind}\r\ncontent-length: 1000\r\n\r\n")).await;
    for _ in 0..99 {
        line.send("0123456789").await;
        if !line.is_silent(Duration::from_millis(40)).await {
            return line;
        }
    }
    line.send("0123456789").await;
    line
}

#[tokio::test]
async fn a_body_that_trickles_in_is_given_up() {
    let world = limited("body_idle_timeout = \"200ms\"\nbody_rate = \"100KiB\"").start().await;
    let ticket = world.ticket().await;
    let head = trickle(&world, &ticket, "text/plain").await.head().await.unwrap();
    assert!(head.starts_with("http/1.1 408 "), "{head}");
    named(&world, "body_too_slow").await;
    let metric = "portcullis_server_events_total{event=\"body_timeout\"}";
    assert_eq!(world.metric(metric).await, 0, "it never paused for long");
}

#[tokio::test]
async fn without_such_a_limit_a_body_may_trickle_in_and_by_http_1_no_call_is_by_grpc() {
    let told = "grpc-status: 13\r\n";
    for (rate, kind, says) in [("0B", "text/plain", "http/1.1 200 "), ("100KiB", "application/grpc", told)] {
        let world = limited(&format!("body_idle_timeout = \"200ms\"\nbody_rate = \"{rate}\"")).start().await;
        let ticket = world.ticket().await;
        let head = trickle(&world, &ticket, kind).await.head().await.unwrap();
        assert!(head.contains(says), "{kind}: {head}");
    }
}

#[tokio::test]
async fn an_old_connection_is_asked_to_end() {
    let world = limited("connection_age = \"500ms\"").start().await;
    let mut line = Line::to(world.authority()).await;
    line.send(request(&world, "")).await;
    let head = line.head().await.unwrap();
    line.take(length(&head)).await;
    assert_eq!(line.rest().await, b"");
    named(&world, "connection_age").await;
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_counted() {
    let world = World::new().await;
    for nonsense in ["\0\0\0\0\r\n\r\n", "SSH-2.0-x\r\n\r\n", "GET\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut line = Line::to(world.authority()).await;
        line.send(nonsense).await;
        let head = line.head().await.unwrap();
        assert!(head.starts_with("http/1.1 400 ") && field(&head, "connection") == Some("close"), "{head}");
        assert_eq!((length(&head), line.rest().await), (0, Vec::new()), "{nonsense:?}");
    }
    assert_eq!(world.metric("portcullis_server_events_total{event=\"malformed\"}").await, 4);
    assert_eq!(world.app.hits(), 0);
}
