//! Interim answers (1xx) pass from an app to its client, in order, before the answer and never behind it.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::Builder;
use hyper::{Request, Response, StatusCode};
use tokio::net::UnixStream;
use tokio::sync::{Barrier, Notify};
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::multiplexed::plain;
use crate::proxying::secured;
use crate::stage::{Ear, Line, Stage, field, length, soon, until};
use crate::world::World;

mod multiplexed;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn head(world: &World, ticket: &str, line: &str, more: &str) -> String {
    format!("{line}\r\nhost: {}\r\ncookie: {ticket}\r\n{more}\r\n", world.authority())
}

/// A world in front of a script, and a ticket to it.
async fn world_of(route: &str) -> (World, String) {
    let world = World::with().routes(route).start().await;
    let ticket = world.ticket().await;
    (world, ticket)
}

/// An app that says the same to each request.
async fn parrot(answer: String) -> Stage {
    Stage::play(move |mut line: Line, _| {
        let answer = answer.clone();
        async move {
            while let Some(head) = line.head().await {
                line.take(length(&head)).await;
                line.send(&answer).await;
            }
        }
    })
    .await
}

/// The heads that come, to the first that is final, whose body is read.
async fn heads(line: &mut Line) -> Vec<String> {
    let mut heads = Vec::new();
    loop {
        let head = line.head().await.expect("another head");
        let is_final = !head.starts_with("http/1.1 1");
        if is_final {
            line.take(length(&head)).await;
        }
        heads.push(head);
        if is_final {
            return heads;
        }
    }
}

fn codes(heads: &[String]) -> Vec<&str> {
    heads.iter().map(|head| &head[9..12]).collect()
}

/// An app that gives two hints, each when it is told to, and then its answer.
async fn hinting(go: &Arc<Notify>) -> Stage {
    let prompt = Arc::clone(go);
    Stage::play(move |mut line: Line, _| {
        let go = Arc::clone(&prompt);
        async move {
            while let Some(head) = line.head().await {
                line.take(length(&head)).await;
                for name in ["a", "b"] {
                    line.send(format!("HTTP/1.1 103 Early Hints\r\nLink: </{name}.css>; rel=preload\r\n\r\n")).await;
                    go.notified().await;
                }
                line.send(OK).await;
            }
        }
    })
    .await
}

/// Two hints come while their answer is still being made, twice on one connection.
async fn hints_come_early(world: &World, ticket: &str, go: &Notify, line: &str, more: &str) {
    let mut client = Line::to(world.authority()).await;
    for _ in 0..2 {
        client.send(head(world, ticket, line, more)).await;
        for name in ["a", "b"] {
            let hint = client.head().await.unwrap();
            assert!(hint.starts_with("http/1.1 103 early hints\r\n"), "{hint}");
            assert_eq!(field(&hint, "link"), Some(format!("</{name}.css>; rel=preload").as_str()));
            // the app goes on only now
            go.notify_one();
        }
        let head = client.head().await.unwrap();
        assert!(head.starts_with("http/1.1 200 ") && field(&head, "link").is_none(), "{head}");
        assert_eq!(client.take(length(&head)).await, b"ok");
    }
}

#[tokio::test]
async fn hints_arrive_while_the_answer_is_still_being_made() {
    let go = Arc::new(Notify::new());
    let stage = hinting(&go).await;
    let (world, ticket) = world_of(&stage.route()).await;
    hints_come_early(&world, &ticket, &go, "GET / HTTP/1.1", "").await;
    assert_eq!(stage.connections(), 1, "its connection is used again");
}

#[tokio::test]
async fn hints_arrive_while_a_body_is_still_being_sent() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        line.take(2).await;
        line.send("HTTP/1.1 102 Processing\r\n\r\n").await;
        line.take(3).await;
        line.send(OK).await;
    })
    .await;
    let (world, ticket) = world_of(&stage.route()).await;
    let mut client = Line::to(world.authority()).await;
    client.send(head(&world, &ticket, "POST / HTTP/1.1", "content-length: 5\r\n") + "he").await;
    assert_eq!(codes(&[client.head().await.unwrap()]), ["102"]);
    client.send("llo").await;
    assert_eq!(codes(&heads(&mut client).await), ["200"]);
}

#[tokio::test]
async fn an_app_that_only_hints_at_its_answer_to_an_upload_is_not_waited_for() {
    for (count, status) in [(64, "200"), (65, "502"), (100_000, "502")] {
        let stage = Stage::play(move |mut line: Line, _| async move {
            line.head().await;
            line.take(5).await;
            line.send("HTTP/1.1 102 Processing\r\n\r\n".repeat(count) + OK).await;
        })
        .await;
        let (world, ticket) = world_of(&stage.route()).await;
        let mut client = Line::to(world.authority()).await;
        client.send(head(&world, &ticket, "POST / HTTP/1.1", "content-length: 5\r\n") + "hello").await;
        let heads = heads(&mut client).await;
        assert_eq!(codes(&heads).last(), Some(&status), "{count}");
        assert!(heads.len() <= 65, "{} interim answers of {count}", heads.len() - 1);
    }
}

#[tokio::test]
async fn hints_arrive_from_an_app_with_tls() {
    let (go, authority) = (Arc::new(Notify::new()), Authority::new());
    let (listener, address) = Ear::tcp().await;
    let config = authority.issue(&["localhost"], |_| ()).server(&["http/1.1"], None);
    let prompt = Arc::clone(&go);
    let ear = Ear::Tls(listener, TlsAcceptor::from(Arc::new(config)));
    let _stage = Stage::listen(ear, address.clone(), move |wire, _| {
        let go = Arc::clone(&prompt);
        async move {
            let mut line = Line::over(wire);
            while line.head().await.is_some() {
                for name in ["a", "b"] {
                    line.send(format!("HTTP/1.1 103 Early Hints\r\nLink: </{name}.css>; rel=preload\r\n\r\n")).await;
                    go.notified().await;
                }
                line.send(OK).await;
            }
        }
    });
    let port = address.rsplit(':').next().unwrap();
    let ca = authority.file().display().to_string();
    let route = format!("[[route]]\nupstream = \"https://localhost:{port}\"\n[route.tls]\nca = {ca:?}\n");
    let (world, ticket) = world_of(&route).await;
    hints_come_early(&world, &ticket, &go, "GET / HTTP/1.1", "").await;
}

#[tokio::test]
async fn hints_arrive_from_an_app_that_speaks_http2() {
    let go = Arc::new(Notify::new());
    let prompt = Arc::clone(&go);
    let stage = plain(Builder::new(), move |_, mut reply, _| {
        let go = Arc::clone(&prompt);
        async move {
            for name in ["a", "b"] {
                let hint = Response::builder().status(103).header("link", format!("</{name}.css>; rel=preload"));
                reply.send_informational(hint.body(()).unwrap()).unwrap();
                go.notified().await;
            }
            let answer = Response::builder().header("content-length", "2").body(()).unwrap();
            let mut stream = reply.send_response(answer, false).unwrap();
            stream.send_data("ok".into(), true).unwrap();
        }
    })
    .await;
    let (world, ticket) = world_of(&format!("[[route]]\nupstream = \"h2c://{}\"\n", stage.authority)).await;
    hints_come_early(&world, &ticket, &go, "GET / HTTP/1.1", "").await;
}

#[tokio::test]
async fn what_comes_in_one_piece_with_its_answer_comes_before_it_all_the_same() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 199 Own\r\n\r\n";
    let stage = parrot(format!("{interim}{OK}")).await;
    let (world, ticket) = world_of(&stage.route()).await;
    let mut client = Line::to(world.authority()).await;
    // pipelined: an interim answer stands between two messages
    client.send(head(&world, &ticket, "GET / HTTP/1.1", "").repeat(3)).await;
    for _ in 0..3 {
        assert_eq!(codes(&heads(&mut client).await), ["102", "103", "199", "200"]);
    }
}

#[tokio::test]
async fn a_100_that_nobody_asked_the_app_for_is_not_the_clients() {
    let stage = parrot(format!("HTTP/1.1 100 Continue\r\n\r\n{OK}")).await;
    let (world, ticket) = world_of(&stage.route()).await;
    let mut client = Line::to(world.authority()).await;
    for (line, more) in [("GET / HTTP/1.1", ""), ("POST / HTTP/1.1", "content-length: 0\r\n")] {
        client.send(head(&world, &ticket, line, more)).await;
        assert_eq!(codes(&heads(&mut client).await), ["200"]);
    }
}

#[tokio::test]
async fn their_heads_are_cleaned_as_an_answers_is() {
    let fields = "connection: x-hop, close\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\ncontent-length: 0\r\nlink: x\r\n\
        set-cookie: __Host-portcullis=mine\r\nset-cookie: portcullis=mine\r\nset-cookie: other=1\r\n";
    let stage = parrot(format!("HTTP/1.1 103 Early Hints\r\n{fields}\r\n{OK}")).await;
    let (world, ticket) = world_of(&stage.route()).await;
    let mut client = Line::to(world.authority()).await;
    client.send(head(&world, &ticket, "GET / HTTP/1.1", "")).await;
    let hint = client.head().await.unwrap();
    assert_eq!(field(&hint, "set-cookie"), Some("other=1"));
    for gone in ["connection", "x-hop", "keep-alive", "content-length", "transfer-encoding"] {
        assert_eq!(field(&hint, gone), None, "{hint}");
    }
    assert_eq!(field(&hint, "link"), Some("x"));
}

#[tokio::test]
async fn http_1_0_knows_none() {
    let stage = parrot(format!("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n{OK}")).await;
    let (world, ticket) = world_of(&stage.route()).await;
    let mut client = Line::to(world.authority()).await;
    client.send(head(&world, &ticket, "GET / HTTP/1.0", "")).await;
    assert!(client.head().await.unwrap().starts_with("http/1.0 200 "));
}

#[tokio::test]
async fn who_is_not_signed_in_is_told_nothing_in_advance() {
    let stage = parrot(format!("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n{OK}")).await;
    let (world, _) = world_of(&stage.route()).await;
    let mut client = Line::to(world.authority()).await;
    client.send(head(&world, "a=b", "GET / HTTP/1.1", "")).await;
    assert_eq!(codes(&heads(&mut client).await), ["401"]);
    assert_eq!(stage.connections(), 0);
}

#[tokio::test]
async fn an_app_that_hinted_and_left_is_not_replaced_by_another() {
    let hinted = Arc::new(AtomicUsize::new(0));
    let lame = || {
        let hinted = Arc::clone(&hinted);
        Stage::play(move |mut line: Line, _| {
            let hinted = Arc::clone(&hinted);
            async move {
                line.head().await;
                hinted.fetch_add(1, Ordering::SeqCst);
                line.send("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n").await;
            }
        })
    };
    let (one, two) = (lame().await, lame().await);
    let route = format!("[[route]]\nupstream = [\"http://{}\", \"http://{}\"]\n", one.authority, two.authority);
    let (world, ticket) = world_of(&route).await;
    let mut client = Line::to(world.authority()).await;
    client.send(head(&world, &ticket, "GET / HTTP/1.1", "accept: application/json\r\n")).await;
    assert_eq!(codes(&heads(&mut client).await), ["103", "502"]);
    assert_eq!(hinted.load(Ordering::SeqCst), 1);
}

// By a unix socket: the system keeps some 200 KiB for whoever does not read there, and over TCP megabytes. The gateway
// keeps 64 KiB beside what it has begun to write.
#[tokio::test]
async fn of_hints_that_a_client_does_not_take_few_are_kept() {
    let stage = Stage::play(|mut line: Line, _| async move {
        let hint = format!("HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n", "x".repeat(50_000));
        while let Some(head) = line.head().await {
            line.take(length(&head)).await;
            for _ in 0..60 {
                line.send(&hint).await;
                // Each by itself: they reach the gateway one after the other.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            line.send(OK).await;
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("front.sock");
    let listen = format!("[\"127.0.0.1:{{port}}\", {:?}]", format!("unix:{}", socket.display()));
    let world = World::with().routes(&(stage.route() + "name = \"app\"\n")).listen(&listen).start().await;
    let ticket = world.ticket().await;
    let answered = "portcullis_request_duration_seconds_count{route=\"app\"}";
    // The latter's head is answered by the lean reader.
    for (line, more, body) in [("POST / HTTP/1.1", "content-length: 5\r\n", "hello"), ("GET / HTTP/1.1", "", "")] {
        let before = world.metric(answered).await;
        let mut client = Line::over(Box::new(UnixStream::connect(&socket).await.unwrap()));
        client.send(head(&world, &ticket, line, more) + body).await;
        // The app has said it all by then, and the gateway has heard it.
        until("the answer's head", || async { world.metric(answered).await > before }).await;
        let heads = heads(&mut client).await;
        let codes = codes(&heads);
        let (last, hints) = codes.split_last().unwrap();
        assert!(*last == "200" && hints.iter().all(|code| *code == "103"), "{line}: {codes:?}");
        assert!((1..=10).contains(&hints.len()), "{line}: {} of them were kept", hints.len());
    }
}
