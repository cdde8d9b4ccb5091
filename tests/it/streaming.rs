//! Bodies pass in both directions while they are still being made, and nobody's memory grows with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::multiplexed::plain;
use crate::proxying::speak_http2;
use crate::stage::{Line, Stage, field, length, soon, until};
use crate::world::World;

/// Larger than all buffers between a client and an app, the kernel's included.
const LARGE: usize = 64 << 20;

/// The media type of server-sent events.
const EVENTS: &str = "text/event-stream";

async fn world_of(stage: &Stage) -> (World, String) {
    let world = World::with().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    (world, ticket)
}

fn head(world: &World, ticket: &str, line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n{more}\r\n", world.authority())
}

/// Pushes zeros until the other side takes no more for a moment, or all are gone; returns how many were taken.
async fn push_until_blocked(line: &mut Line, limit: usize) -> usize {
    let piece = vec![0; 64 << 10];
    let mut taken = 0;
    while taken < limit {
        match tokio::time::timeout(Duration::from_millis(700), line.push(&piece)).await {
            Ok(true) => taken += piece.len(),
            Ok(false) => panic!("the connection ended"),
            Err(_) => break,
        }
    }
    taken
}

#[tokio::test]
async fn an_upload_arrives_while_it_is_still_being_sent() {
    let (told, mut hears) = mpsc::unbounded_channel();
    let stage = Stage::play(move |mut line: Line, _| {
        let told = told.clone();
        async move {
            let head = line.head().await.unwrap();
            assert_eq!(field(&head, "transfer-encoding"), Some("chunked"), "{head}");
            loop {
                let chunk = line.chunk().await;
                told.send(chunk.clone()).unwrap();
                if chunk.is_empty() {
                    break;
                }
            }
            line.take(2).await;
            line.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "POST /upload", "transfer-encoding: chunked\r\n")).await;
    for piece in ["one", "two", "three"] {
        line.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
        // the next is sent only when this one has arrived
        assert_eq!(soon("a piece", hears.recv()).await.unwrap(), piece.as_bytes());
    }
    line.send("0\r\n\r\n").await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 200 "));
}

/// An app that writes each event when it is told that the one before has arrived.
async fn in_lockstep(go: &Arc<Notify>) -> Stage {
    let prompt = Arc::clone(go);
    Stage::play(move |mut line: Line, _| {
        let go = Arc::clone(&prompt);
        async move {
            line.head().await;
            line.send(format!("HTTP/1.1 200 OK\r\ncontent-type: {EVENTS}\r\ntransfer-encoding: chunked\r\n\r\n")).await;
            for event in ["one", "two", "three"] {
                let event = format!("data: {event}\n\n");
                line.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
                go.notified().await;
            }
            line.send("0\r\n\r\n").await;
        }
    })
    .await
}

/// Takes each event before the app is let go on to the next.
async fn receive_in_lockstep(line: &mut Line, go: &Notify) {
    for event in ["one", "two", "three"] {
        assert_eq!(line.chunk().await, format!("data: {event}\n\n").as_bytes());
        go.notify_one();
    }
    assert_eq!(line.chunk().await, b"");
}

#[tokio::test]
async fn a_response_arrives_while_it_is_still_being_made() {
    let go = Arc::new(Notify::new());
    let stage = in_lockstep(&go).await;
    let (world, ticket) = world_of(&stage).await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "GET /events", "")).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 200 "));
    receive_in_lockstep(&mut line, &go).await;
}

#[tokio::test]
async fn an_event_over_http2_arrives_before_an_app_of_http1_writes_the_next() {
    let go = Arc::new(Notify::new());
    let stage = in_lockstep(&go).await;
    let world = World::with().tls().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_http2(&world).await;
    let request = Request::get(world.at("/events")).header("cookie", &ticket).body(Empty::<Bytes>::new()).unwrap();
    let mut answer = soon("an answer", sender.send_request(request)).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &EVENTS.parse().unwrap()));
    for event in ["one", "two", "three"] {
        let frame = soon("an event", answer.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("data: {event}\n\n"));
        go.notify_one();
    }
    assert_eq!(soon("the end", answer.into_body().collect()).await.unwrap().to_bytes(), "");
}

#[tokio::test]
async fn an_event_over_http1_arrives_before_an_app_of_http2_writes_the_next() {
    let go = Arc::new(Notify::new());
    let prompt = Arc::clone(&go);
    let stage = plain(h2::server::Builder::new(), move |_, mut reply, _| {
        let go = Arc::clone(&prompt);
        async move {
            let head = Response::builder().header("content-type", EVENTS).body(()).unwrap();
            let mut stream = reply.send_response(head, false).unwrap();
            for event in ["one", "two", "three"] {
                stream.send_data(format!("data: {event}\n\n").into(), false).unwrap();
                go.notified().await;
            }
            stream.send_data("".into(), true).unwrap();
        }
    })
    .await;
    let world = World::with().routes(&format!("[[route]]\nupstream = \"h2c://{}\"\n", stage.authority)).start().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "GET /events", "")).await;
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 200 ") && field(&head, "content-type") == Some(EVENTS), "{head}");
    receive_in_lockstep(&mut line, &go).await;
}

#[tokio::test]
async fn an_app_that_reads_slowly_slows_the_client_down() {
    let go = Arc::new(Notify::new());
    let prompt = Arc::clone(&go);
    let stage = Stage::play(move |mut line: Line, _| {
        let go = Arc::clone(&prompt);
        async move {
            let head = line.head().await.unwrap();
            assert_eq!(length(&head), LARGE);
            go.notified().await;
            let mut left = LARGE;
            while left > 0 {
                let piece = left.min(1 << 20);
                line.take(piece).await;
                left -= piece;
            }
            line.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nall").await;
        }
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "PUT /upload", &format!("content-length: {LARGE}\r\n"))).await;
    let taken = push_until_blocked(&mut line, LARGE).await;
    assert!(taken < LARGE / 4 * 3, "{taken} bytes were taken although nobody read them");
    go.notify_one();
    let rest = vec![0; LARGE - taken];
    assert!(line.push(&rest).await);
    // what was cut short by the timeout was sent in part: hence an estimate above, and the exact count here
    let reply = line.head().await.unwrap_or_default();
    assert!(reply.starts_with("http/1.1 200 "), "{reply}");
    assert_eq!(line.take(3).await, b"all");
}

#[tokio::test]
async fn a_client_that_reads_slowly_slows_the_app_down() {
    let given = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&given);
    let stage = Stage::play(move |mut line: Line, _| {
        let given = Arc::clone(&counter);
        async move {
            line.head().await;
            line.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n")).await;
            let piece = vec![7; 64 << 10];
            while given.load(Ordering::SeqCst) < LARGE && line.push(&piece).await {
                given.fetch_add(piece.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "GET /large", "")).await;
    assert_eq!(length(&line.head().await.unwrap()), LARGE);
    // the app gives until it is blocked
    let mut before = usize::MAX;
    soon("the app's being blocked", async {
        while before != given.load(Ordering::SeqCst) {
            before = given.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
    assert!(before < LARGE / 4 * 3, "{before} bytes were taken although nobody read them");
    let mut left = LARGE;
    while left > 0 {
        let piece = left.min(1 << 20);
        assert!(line.take(piece).await.iter().all(|byte| *byte == 7));
        left -= piece;
    }
    until("the app's last piece", || async { given.load(Ordering::SeqCst) == LARGE }).await;
}

#[tokio::test]
async fn an_upload_goes_on_beyond_the_first_byte_deadline_while_it_moves() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        line.take(10).await;
        line.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let world = World::with().routes(&stage.route()).table("[upstream]\nfirst_byte_timeout = \"1s\"").start().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    let began = Instant::now();
    line.send(head(&world, &ticket, "PUT /upload", "content-length: 10\r\n")).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        line.send("x").await;
    }
    let reply = line.head().await.unwrap();
    assert!(reply.starts_with("http/1.1 200 "), "{reply}");
    assert!(began.elapsed() >= Duration::from_millis(1900));
}

#[tokio::test]
async fn trailers_of_a_response_reach_a_client_that_takes_them() {
    let stage = Stage::play(|mut line: Line, _| async move {
        let head = line.head().await.unwrap();
        assert_eq!(field(&head, "te"), Some("trailers"), "{head}");
        line.send(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-checksum\r\n\r\n\
             2\r\nok\r\n0\r\nx-checksum: 42\r\n\r\n",
        )
        .await;
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "GET /", "te: trailers\r\nconnection: te\r\n")).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 200 "));
    assert_eq!(line.chunk().await, b"ok");
    assert_eq!(line.chunk().await, b"");
    assert_eq!(line.head().await.unwrap(), "x-checksum: 42\r\n\r\n");
}

#[tokio::test]
async fn a_stream_ends_when_its_person_signs_out() {
    let stage = Stage::endless().await;
    let (world, ticket) = world_of(&stage).await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "GET /events", "")).await;
    line.head().await;
    assert_eq!(line.chunk().await, b"event");
    sign_out(&world, &ticket).await;
    let rest = line.rest().await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "broken off, and not as if it were complete");
}

#[tokio::test]
async fn a_silent_stream_ends_when_its_person_signs_out() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        line.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nevent\r\n").await;
        line.rest().await;
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "GET /events", "")).await;
    line.head().await;
    assert_eq!(line.chunk().await, b"event");
    sign_out(&world, &ticket).await;
    line.rest().await;
}

#[tokio::test]
async fn an_upload_ends_when_its_person_signs_out() {
    // One that is silent, one that goes on, and one that was answered already.
    for (goes_on, is_answered) in [(false, false), (true, false), (true, true)] {
        let (told, mut hears) = mpsc::unbounded_channel();
        let stage = Stage::play(move |mut line: Line, _| {
            let told = told.clone();
            async move {
                line.head().await;
                assert_eq!(line.chunk().await, b"first");
                if is_answered {
                    line.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
                told.send(Vec::new()).unwrap();
                told.send(line.rest().await).unwrap();
            }
        })
        .await;
        let (world, ticket) = world_of(&stage).await;
        let mut line = Line::to(world.authority()).await;
        let more = "accept: application/json\r\ntransfer-encoding: chunked\r\n";
        line.send(head(&world, &ticket, "POST /upload", more) + "5\r\nfirst\r\n").await;
        soon("the beginning", hears.recv()).await.unwrap();
        if is_answered {
            assert!(line.head().await.unwrap().starts_with("http/1.1 200 "));
        }
        sign_out(&world, &ticket).await;
        if goes_on {
            line.send("6\r\nsecond\r\n0\r\n\r\n").await;
        }
        let rest = soon("the end", hears.recv()).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "", "what came after the end went to the app: {goes_on}");
        if !is_answered {
            let answer = line.head().await.unwrap();
            assert!(answer.starts_with("http/1.1 401 "), "{answer}");
            let page = String::from_utf8(line.take(length(&answer)).await).unwrap();
            assert!(page.contains("\"session_ended\""), "{page}");
        }
    }
}

/// Signs out whoever has this ticket.
pub async fn sign_out(world: &World, ticket: &str) {
    let headers = [("cookie", ticket), ("sec-fetch-site", "same-origin")];
    let reply = world.browser().fetch(hyper::Method::POST, world.at("/.portcullis/sign-out"), &headers, "").await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[tokio::test]
async fn an_upload_that_goes_on_behind_its_answer_counts_as_a_connection_of_the_app() {
    let stage = Stage::play(|mut line: Line, number| async move {
        line.head().await;
        line.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        if number == 0 {
            // neither reads nor closes
            std::future::pending::<()>().await;
        }
    })
    .await;
    let world = World::with().workers(1).routes(&stage.route()).table("[upstream]\nconnections = 1").start().await;
    let ticket = world.ticket().await;
    let mut uploader = Line::to(world.authority()).await;
    uploader.send(head(&world, &ticket, "PUT /upload", "content-length: 100\r\n") + "the beginning").await;
    assert!(uploader.head().await.unwrap().starts_with("http/1.1 200 "));
    assert_eq!(uploader.take(2).await, b"ok");
    let ask = || async {
        let mut line = Line::to(world.authority()).await;
        line.send(head(&world, &ticket, "GET /", "")).await;
        line.head().await.unwrap()[9..12].to_owned()
    };
    assert_eq!(ask().await, "503");
    drop(uploader);
    until("a free place", || async { ask().await == "200" }).await;
}

#[tokio::test]
async fn an_app_that_answers_and_then_neither_reads_nor_closes_is_left_at_the_idle_timeout() {
    let stage = Stage::play(|mut line: Line, number| async move {
        line.head().await;
        line.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        if number == 0 {
            std::future::pending::<()>().await;
        }
    })
    .await;
    let tables = "[upstream]\nconnections = 1\nidle_timeout = \"1s\"";
    let world = World::with().workers(1).routes(&stage.route()).table(tables).start().await;
    let ticket = world.ticket().await;
    let mut uploader = Line::to(world.authority()).await;
    uploader.send(head(&world, &ticket, "PUT /upload", "content-length: 100\r\n") + "the beginning").await;
    assert!(uploader.head().await.unwrap().starts_with("http/1.1 200 "));
    until("a free place", || async {
        let mut line = Line::to(world.authority()).await;
        line.send(head(&world, &ticket, "GET /", "")).await;
        line.head().await.unwrap().starts_with("http/1.1 200 ")
    })
    .await;
    drop(uploader);
}
