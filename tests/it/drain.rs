//! Shutting down: what runs may finish, what idles goes, what never ends is cut at the deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::browser::Browser;
use crate::stage::{Line, Stage, field, length, soon, until};
use crate::world::World;

/// The worlds of tests drain for so long.
const DEADLINE: Duration = Duration::from_secs(2);

fn request(world: &World, ticket: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n\r\n", world.authority())
}

#[tokio::test]
async fn a_running_request_is_finished_and_nobody_else_comes_in() {
    let go = Arc::new(Notify::new());
    let arrived = Arc::new(Notify::new());
    let (prompt, cue) = (Arc::clone(&go), Arc::clone(&arrived));
    let stage = Stage::play(move |mut line: Line, _| {
        let (go, arrived) = (Arc::clone(&prompt), Arc::clone(&cue));
        async move {
            line.head().await;
            arrived.notify_one();
            go.notified().await;
            line.send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nfinished").await;
        }
    })
    .await;
    let world = World::with().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    line.send(request(&world, &ticket, "/")).await;
    soon("the request's arrival", arrived.notified()).await;

    let address = world.gateway.address;
    let operator = world.gateway.operator_address.unwrap();
    let began = Instant::now();
    let shutdown = tokio::spawn(world.gateway.shutdown());
    until("the door's closing", || async { TcpStream::connect(address).await.is_err() }).await;
    let ready = Browser::new().fetch(Method::GET, format!("http://{operator}/readyz"), &[], "").await;
    assert_eq!(ready.status, 503, "balancers are told");
    assert!(!shutdown.is_finished());
    go.notify_one();
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!(field(&head, "connection"), Some("close"), "{head}");
    assert_eq!(line.take(length(&head)).await, b"finished");
    assert_eq!(line.rest().await, b"");
    soon("the end", shutdown).await.unwrap();
    assert!(began.elapsed() < DEADLINE, "nobody waits for the deadline when there is nothing to wait for");
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_once() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    line.send(request(&world, &ticket, "/")).await;
    let head = line.head().await.unwrap();
    line.take(length(&head)).await;
    let mut silent = Line::to(world.authority()).await;
    until("the silent connection's acceptance", || async { world.metric("portcullis_connections").await >= 2 }).await;

    let began = Instant::now();
    soon("the end", world.gateway.shutdown()).await;
    assert!(began.elapsed() < DEADLINE);
    assert_eq!(line.rest().await, b"");
    assert_eq!(silent.rest().await, b"");
}

#[tokio::test]
async fn a_stream_without_end_is_cut_at_the_deadline() {
    let stage = Stage::endless().await;
    let world = World::with().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    line.send(request(&world, &ticket, "/events")).await;
    line.head().await;
    assert_eq!(line.chunk().await, b"event");
    let began = Instant::now();
    let shutdown = tokio::spawn(world.gateway.shutdown());
    let rest = line.rest().await;
    assert!(began.elapsed() >= DEADLINE - Duration::from_millis(100), "it may go on until then");
    assert!(!rest.ends_with(b"0\r\n\r\n"), "broken off, and not as if it were complete");
    soon("the end", shutdown).await.unwrap();
}

#[tokio::test]
async fn a_tunnel_is_waited_for_and_cut_at_the_deadline() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        line.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
        while let Some(words) = line.head().await {
            line.send(words).await;
        }
    })
    .await;
    let world = World::with().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    let host = world.authority();
    line.send(format!(
        "GET / HTTP/1.1\r\nhost: {host}\r\ncookie: {ticket}\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"
    ))
    .await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 101 "));
    let began = Instant::now();
    let shutdown = tokio::spawn(world.gateway.shutdown());
    tokio::time::sleep(Duration::from_millis(200)).await;
    line.send("still here\r\n\r\n").await;
    assert_eq!(line.head().await.as_deref(), Some("still here\r\n\r\n"));
    assert_eq!(line.rest().await, b"");
    assert!(began.elapsed() >= DEADLINE - Duration::from_millis(100));
    soon("the end", shutdown).await.unwrap();
}
