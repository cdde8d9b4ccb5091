//! Clients that end their side of a connection and wait: they get what the app would give them without us.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portcullis::http::Scheme;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;

use crate::authority::Authority;
use crate::check::{Bench, Process};
use crate::multiplexed::converse;
use crate::proxying::secured;
use crate::soak::descriptors;
use crate::stage::{Line, Stage, field, length, soon, until};
use crate::world::World;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn head(world: &World, ticket: &str, line: &str, more: &str) -> String {
    let version = if line.ends_with("HTTP/1.0") { "" } else { " HTTP/1.1" };
    format!("{line}{version}\r\nhost: {}\r\ncookie: {ticket}\r\n{more}\r\n", world.authority())
}

async fn world_of(routes: &str) -> (World, String) {
    let world = World::with().routes(routes).start().await;
    let ticket = world.ticket().await;
    (world, ticket)
}

/// An app that answers when its client has ended its side, and not before.
async fn answers_then(mut line: Line) {
    while line.head().await.is_some() {
        assert_eq!(line.rest().await, b"");
        line.send(OK).await;
    }
}

/// Takes an answer that says that it is the last.
async fn is_answered(line: &mut Line) {
    let head = line.head().await.expect("an answer");
    assert!(
        head.starts_with("http/1.") && head.contains(" 200 ") && field(&head, "connection") == Some("close"),
        "{head}"
    );
    assert_eq!(line.rest().await, b"ok");
}

#[tokio::test]
async fn an_app_hears_that_its_client_sends_no_more_and_answers_if_it_likes() {
    let stage = Stage::play(|line: Line, _| answers_then(line)).await;
    let (world, ticket) = world_of(&stage.route()).await;
    for (number, request) in ["GET /", "GET / HTTP/1.0", "DELETE /thing"].into_iter().enumerate() {
        let mut line = Line::to(world.authority()).await;
        line.send(head(&world, &ticket, request, "")).await;
        if number == 2 {
            until("the app's connection", || async { stage.connections() == 3 }).await;
        }
        line.end().await;
        is_answered(&mut line).await;
        assert_eq!(stage.connections(), number + 1, "nobody else's request goes over such a connection");
    }
}

#[tokio::test]
async fn an_app_with_tls_hears_it_too() {
    let authority = Authority::new();
    let (stage, routes) = Stage::encrypted(&authority, &["http/1.1"], |_| async {}, answers_then).await;
    let (world, ticket) = world_of(&routes).await;
    for number in 1..3 {
        let mut line = Line::to(world.authority()).await;
        line.send(head(&world, &ticket, "GET /", "")).await;
        line.end().await;
        is_answered(&mut line).await;
        assert_eq!(stage.connections(), number);
    }
}

#[tokio::test]
async fn clients_of_tls_and_of_a_unix_socket_may_do_so_as_well() {
    let stage = Stage::play(|line: Line, _| answers_then(line)).await;
    let world = World::with().tls().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut line = Line::over(Box::new(secured(&world, b"http/1.1").await));
    line.send(head(&world, &ticket, "GET /", "")).await;
    line.end().await;
    is_answered(&mut line).await;

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("front.sock");
    let listen = format!("[\"127.0.0.1:{{port}}\", {:?}]", format!("unix:{}", socket.display()));
    let world = World::with().routes(&stage.route()).listen(&listen).start().await;
    let ticket = world.ticket().await;
    let mut line = Line::over(Box::new(UnixStream::connect(&socket).await.unwrap()));
    line.send(head(&world, &ticket, "GET /", "")).await;
    line.end().await;
    is_answered(&mut line).await;
}

#[tokio::test]
async fn requests_in_a_row_are_answered_to_the_last_and_only_that_one_ends_a_connection() {
    let stage = Stage::play(|mut line: Line, _| async move {
        while let Some(head) = line.head().await {
            if head.starts_with("get /last ") {
                line.rest().await;
            }
            line.send(OK).await;
        }
    })
    .await;
    let (world, ticket) = world_of(&stage.route()).await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "GET /first", "") + &head(&world, &ticket, "GET /last", "")).await;
    line.end().await;
    let first = line.head().await.unwrap();
    assert_eq!(field(&first, "connection"), None, "{first}");
    assert_eq!(line.take(2).await, b"ok");
    is_answered(&mut line).await;
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn a_request_with_a_body_is_answered_and_one_without_the_end_of_its_body_is_not() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let stage = Stage::play({
        let (asked, go) = (Arc::clone(&asked), Arc::clone(&go));
        move |mut line: Line, _| {
            let (asked, go) = (Arc::clone(&asked), Arc::clone(&go));
            async move {
                let Some(head) = line.head().await else { return };
                line.take(length(&head)).await;
                asked.notify_one();
                go.notified().await;
                line.send(OK).await;
            }
        }
    })
    .await;
    let (world, ticket) = world_of(&stage.route()).await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "POST /", "content-length: 4\r\n") + "body").await;
    line.end().await;
    soon("the request", asked.notified()).await;
    go.notify_one();
    is_answered(&mut line).await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "POST /", "content-length: 4\r\n") + "bo").await;
    line.end().await;
    let answer = line.head().await.unwrap_or_default();
    assert!(!answer.contains(" 200 "), "{answer}");
    line.rest().await;
}

#[tokio::test]
async fn an_app_that_speaks_http2_just_answers() {
    let authority = Authority::new();
    let (stage, routes) = Stage::encrypted(
        &authority,
        &["h2"],
        |wire| {
            converse(wire, h2::server::Builder::new(), |_, mut reply: h2::server::SendResponse<Bytes>| async move {
                // As long as it takes for the client's end to have come.
                tokio::time::sleep(Duration::from_millis(50)).await;
                let mut body = reply.send_response(hyper::Response::new(()), false).unwrap();
                body.send_data("ok".into(), true).unwrap();
            })
        },
        |_| async {},
    )
    .await;
    let (world, ticket) = world_of(&routes).await;
    for number in 0..2 {
        let mut line = Line::to(world.authority()).await;
        line.send(head(&world, &ticket, "GET /", "")).await;
        line.end().await;
        let head = line.head().await.expect("an answer");
        assert!(head.starts_with("http/1.1 200 "), "{number}: {head}");
        line.rest().await;
    }
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn a_stream_hears_it_in_the_middle() {
    let stage = Stage::play(|mut line: Line, _| async move {
        let Some(head) = line.head().await else { return };
        line.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nevent\r\n").await;
        assert_eq!(line.rest().await, b"");
        if head.starts_with("get /ends ") {
            line.send("4\r\nlast\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let (world, ticket) = world_of(&stage.route()).await;
    for path in ["/ends", "/breaks"] {
        let mut line = Line::to(world.authority()).await;
        line.send(head(&world, &ticket, &format!("GET {path}"), "")).await;
        line.head().await.unwrap();
        assert_eq!(line.chunk().await, b"event");
        line.end().await;
        let rest = line.rest().await;
        assert_eq!(rest, if path == "/ends" { &b"4\r\nlast\r\n0\r\n\r\n"[..] } else { b"" }, "{path}");
    }
    assert_eq!(stage.connections(), 2);
}

fn of(bench: &Bench, line: &str) -> String {
    let (scheme, authority) = bench.url.split_once("://").unwrap();
    assert_eq!(scheme, Scheme::Http.as_str());
    format!("{line} HTTP/1.1\r\nhost: {authority}\r\n\r\n")
}

#[tokio::test]
async fn an_app_that_takes_it_for_the_clients_going_is_not_at_fault() {
    let script = |mut line: Line, _| async move {
        while let Some(head) = line.head().await {
            if head.starts_with("get /stream ") {
                line.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nevent\r\n").await;
            }
            if !head.starts_with("get /quick ") {
                assert_eq!(line.rest().await, b"");
                return;
            }
            line.send(OK).await;
        }
    };
    let (a, b) = (Stage::play(script).await, Stage::play(script).await);
    let bench = Bench::new().await;
    let routes = format!(
        "[[route]]\nname = \"app\"\npublic = true\nupstream = [\"http://{}\", \"http://{}\"]\n[route.ejection]\nfailures = 1\n",
        a.authority, b.authority
    );
    let process = Process::in_front_of(&bench, &routes).await;
    for _ in 0..2 {
        let mut line = Line::to(&bench.url).await;
        line.send(of(&bench, "GET /slow")).await;
        line.end().await;
        assert_eq!(line.rest().await, b"", "as it is without us");
    }
    assert_eq!(a.connections() + b.connections(), 2, "nobody is asked a second time");
    let mut line = Line::to(&bench.url).await;
    line.send(of(&bench, "GET /stream")).await;
    line.head().await.unwrap();
    assert_eq!(line.chunk().await, b"event");
    line.end().await;
    assert_eq!(line.rest().await, b"");
    let mut line = Line::to(&bench.url).await;
    line.send(of(&bench, "GET /quick")).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 200 "));
    until("four lines", || async { process.output().lines().count() == 4 }).await;
    let slow: Vec<String> = process.output().lines().filter(|line| line.contains("/slow")).map(str::to_owned).collect();
    assert!(slow.len() == 2 && slow.iter().all(|line| line.contains("\"status\":499,")), "{slow:?}");
    assert!(slow.iter().all(|line| !line.contains("refusal")), "{slow:?}");
    let errors = process.errors();
    for word in ["is out", "broke off", "declined", "panic"] {
        assert!(!errors.contains(word), "{errors}");
    }
}

// It may have been closing it all along, and whoever does not end its side is answered over another.
#[tokio::test]
async fn an_app_that_closes_a_connection_long_kept_is_asked_once_more() {
    let stage = Stage::play(|mut line: Line, _| async move {
        let mut is_kept = false;
        while let Some(head) = line.head().await {
            if is_kept && head.contains(" /slow ") {
                assert_eq!(line.rest().await, b"");
                return;
            }
            is_kept = true;
            line.send(OK).await;
        }
    })
    .await;
    let (world, ticket) = world_of(&(stage.route() + "pool_idle_timeout = \"1m\"\n")).await;
    for (request, is_answered_then) in [("GET /slow", true), ("DELETE /slow", false)] {
        let mut line = Line::to(world.authority()).await;
        line.send(head(&world, &ticket, "GET /", "")).await;
        assert!(line.head().await.unwrap().starts_with("http/1.1 200 "));
        let connections = stage.connections();
        // Longer than an app's own close may be on its way.
        tokio::time::sleep(Duration::from_millis(700)).await;
        let mut line = Line::to(world.authority()).await;
        line.send(head(&world, &ticket, request, "")).await;
        line.end().await;
        match is_answered_then {
            true => is_answered(&mut line).await,
            false => assert_eq!(line.rest().await, b"", "it may have been acted on"),
        }
        assert_eq!(stage.connections(), connections + usize::from(is_answered_then), "{request}");
    }
}

#[tokio::test]
async fn clients_that_are_gone_altogether_leave_nothing_behind() {
    // Deaf to ends: it answers late, never, or goes on and on.
    let stage = Stage::play(|mut line: Line, _| async move {
        let Some(head) = line.head().await else { return };
        let path = head.split(' ').nth(1).unwrap_or_default();
        let beat = Duration::from_millis(20);
        match path {
            "/late" => {
                tokio::time::sleep(10 * beat).await;
                line.send(OK).await;
            }
            "/stream" => {
                line.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                while line.send("5\r\nevent\r\n").await {
                    tokio::time::sleep(beat).await;
                }
            }
            _ => tokio::time::sleep(100 * beat).await,
        }
    })
    .await;
    let bench = Bench::new().await;
    let routes = format!(
        "[[route]]\npublic = true\nupstream = \"http://{}\"\nfirst_byte_timeout = \"500ms\"\n",
        stage.authority
    );
    let process = Process::in_front_of(&bench, &routes).await;
    let port = bench.url.rsplit(':').next().unwrap().to_owned();
    let before = descriptors(&process);
    for round in 0..150 {
        let mut client = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
        let path = ["/late", "/never", "/stream"][round % 3];
        client.write_all(of(&bench, &format!("GET {path}")).as_bytes()).await.unwrap();
        if round % 2 == 0 {
            client.shutdown().await.unwrap();
        }
        if round % 5 == 0 {
            tokio::task::yield_now().await;
            client.set_zero_linger().unwrap();
        }
    }
    until("the descriptors' return", || async { descriptors(&process) <= before + 4 }).await;
    assert!(!process.errors().contains("panic"), "{}", process.errors());
}
