//! Apps that are reached otherwise than by plain TCP: over a socket of this machine, and with TLS.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::authority::{Authority, Issued};
use crate::stage::{Ear, Line, Stage, Wire, field, length, soon, until};
use crate::world::World;

mod reload;

/// Answers each request of a line with the same text.
async fn parrot(mut line: Line) {
    while let Some(head) = line.head().await {
        line.take(length(&head)).await;
        line.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    }
}

/// One request of a signed-in program; the refusal's code when it is one.
async fn ask(world: &World, ticket: &str) -> (u16, String) {
    let headers = [("cookie", ticket), ("accept", "application/json")];
    let reply = world.browser().fetch(hyper::Method::GET, world.at("/"), &headers, "").await;
    let code = serde_json::from_str::<serde_json::Value>(&reply.body).ok();
    (reply.status.as_u16(), code.and_then(|json| json["error"].as_str().map(str::to_owned)).unwrap_or(reply.body))
}

async fn world_of(routes: &str) -> (World, String) {
    let world = World::with().routes(routes).start().await;
    let ticket = world.ticket().await;
    (world, ticket)
}

/// An app that speaks HTTP/1.1 with TLS.
async fn encrypted(config: rustls::ServerConfig) -> Stage {
    let (listener, authority) = Ear::tcp().await;
    let ear = Ear::Tls(listener, TlsAcceptor::from(Arc::new(config)));
    Stage::listen(ear, authority, |wire, _| parrot(Line::over(wire)))
}

/// A route to it by name, with these lines in its `tls`.
fn route(stage: &Stage, lines: &str) -> String {
    let port = stage.authority.rsplit(':').next().unwrap();
    format!("[[route]]\nupstream = \"https://localhost:{port}\"\n[route.tls]\n{lines}\n")
}

fn ca(authority: &Authority) -> String {
    format!("ca = {:?}", authority.file().display().to_string())
}

// Sockets of this machine.

#[tokio::test]
async fn an_app_at_a_unix_socket_is_reached_by_the_public_host() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let ear = Ear::Unix(UnixListener::bind(&path).unwrap());
    let stage = Stage::listen(ear, String::new(), move |wire, _| {
        let seen = Arc::clone(&seen);
        async move {
            let mut line = Line::over(wire);
            while let Some(head) = line.head().await {
                seen.lock().unwrap().push(head);
                line.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    });
    let (world, ticket) = world_of(&format!("[[route]]\nupstream = \"unix:{}\"\n", path.display())).await;
    for _ in 0..3 {
        assert_eq!(ask(&world, &ticket).await, (200, "ok".to_owned()));
    }
    assert_eq!(stage.connections(), 1, "its connections are kept, too");
    let head = heads.lock().unwrap()[0].clone();
    assert_eq!(field(&head, "host"), Some(world.authority()));
}

#[tokio::test]
async fn a_unix_socket_that_is_not_there_is_a_502() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gone.sock");
    let (world, ticket) = world_of(&format!("[[route]]\nupstream = \"unix:{}\"\n", path.display())).await;
    assert_eq!(ask(&world, &ticket).await, (502, "upstream_unreachable".to_owned()));
    let ear = Ear::Unix(UnixListener::bind(&path).unwrap());
    let _stage = Stage::listen(ear, String::new(), |wire, _| parrot(Line::over(wire)));
    assert_eq!(ask(&world, &ticket).await.0, 200, "an app may start later");
}

// TLS.

#[tokio::test]
async fn an_app_with_tls_is_verified_and_reached() {
    let authority = Authority::new();
    let stage = encrypted(authority.issue(&["localhost"], |_| ()).server(&["http/1.1"], None)).await;
    let (world, ticket) = world_of(&route(&stage, &ca(&authority))).await;
    for _ in 0..3 {
        assert_eq!(ask(&world, &ticket).await, (200, "ok".to_owned()));
    }
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn an_app_whose_certificate_is_not_believed_receives_nothing() {
    let (known, stranger) = (Authority::new(), Authority::new());
    let localhost = || known.issue(&["localhost"], |_| ());
    let old = known.issue(&["localhost"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let early = known.issue(&["localhost"], |params| params.not_before = rcgen::date_time_ymd(2090, 1, 1));
    for (name, issued, lines) in [
        ("another authority's", localhost(), ca(&stranger)),
        ("not for that name", known.issue(&["wiki.internal"], |_| ()), ca(&known)),
        ("not for the configured name", localhost(), format!("{}\nserver_name = \"wiki.internal\"", ca(&known))),
        ("ended", old, ca(&known)),
        ("not yet begun", early, ca(&known)),
        ("none of the system's", localhost(), String::new()),
    ] {
        let stage = encrypted(issued.server(&["http/1.1"], None)).await;
        let (world, ticket) = world_of(&route(&stage, &lines)).await;
        assert_eq!(ask(&world, &ticket).await, (502, "upstream_certificate".to_owned()), "{name}");
        assert_eq!(stage.connections(), 0, "{name}");
    }
}

#[tokio::test]
async fn a_certificate_may_be_for_another_name_when_the_route_says_so() {
    let authority = Authority::new();
    let stage = encrypted(authority.issue(&["wiki.internal"], |_| ()).server(&["http/1.1"], None)).await;
    let lines = format!("{}\nserver_name = \"wiki.internal\"", ca(&authority));
    let (world, ticket) = world_of(&route(&stage, &lines)).await;
    assert_eq!(ask(&world, &ticket).await.0, 200);
}

#[tokio::test]
async fn any_certificate_is_believed_only_when_the_route_says_how_dangerous_that_is() {
    let stage = encrypted(Authority::new().issue(&["elsewhere"], |_| ()).server(&["http/1.1"], None)).await;
    let (world, ticket) = world_of(&route(&stage, "dangerous_accept_any_certificate = true")).await;
    assert_eq!(ask(&world, &ticket).await.0, 200);
}

#[tokio::test]
async fn an_app_that_asks_for_a_certificate_gets_the_routes() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let config = || servers.issue(&["localhost"], |_| ()).server(&["http/1.1"], Some(&clients));
    let ours = clients.issue(&["gateway.internal"], |_| ());
    let lines = format!(
        "{}\ncertificate = {:?}\nprivate_key = {:?}",
        ca(&servers),
        ours.certificate.display().to_string(),
        ours.private_key.display().to_string()
    );
    let stage = encrypted(config()).await;
    let (world, ticket) = world_of(&route(&stage, &lines)).await;
    assert_eq!(ask(&world, &ticket).await.0, 200);
    let (world, ticket) = world_of(&route(&stage, &ca(&servers))).await;
    assert_eq!(ask(&world, &ticket).await, (502, "upstream_handshake".to_owned()));
}

#[tokio::test]
async fn a_plain_port_is_no_tls() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let (world, ticket) = world_of(&route(&stage, "")).await;
    assert_eq!(ask(&world, &ticket).await, (502, "upstream_handshake".to_owned()));
}

#[tokio::test]
async fn a_handshake_that_stalls_is_a_504() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.rest().await;
    })
    .await;
    let world = World::with().routes(&route(&stage, "")).table("[upstream]\nconnect_timeout = \"200ms\"").start().await;
    let ticket = world.ticket().await;
    assert_eq!(ask(&world, &ticket).await, (504, "upstream_connect_timeout".to_owned()));
}

#[tokio::test]
async fn sessions_of_tls_are_resumed() {
    let authority = Authority::new();
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&kinds);
    let (listener, address) = Ear::tcp().await;
    let config = Arc::new(authority.issue(&["localhost"], |_| ()).server(&["http/1.1"], None));
    let stage = Stage::listen(Ear::Tcp(listener), address, move |wire, _| {
        let (acceptor, seen) = (TlsAcceptor::from(Arc::clone(&config)), Arc::clone(&seen));
        async move {
            let stream = acceptor.accept(wire).await.unwrap();
            seen.lock().unwrap().push(stream.get_ref().1.handshake_kind());
            let mut line = Line::over(Box::new(stream));
            line.head().await;
            line.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
        }
    });
    let (world, ticket) = world_of(&route(&stage, &ca(&authority))).await;
    for _ in 0..2 {
        assert_eq!(ask(&world, &ticket).await.0, 200);
    }
    let kinds = kinds.lock().unwrap().clone();
    assert_eq!(kinds, [Some(rustls::HandshakeKind::Full), Some(rustls::HandshakeKind::Resumed)]);
}

/// An app with TLS whose script has the stream itself, to end it as it likes.
async fn undressed<F, P>(authority: &Authority, script: F) -> Stage
where
    F: Fn(TlsStream<Box<dyn Wire>>, usize) -> P + Clone + Send + Sync + 'static,
    P: Future<Output = ()> + Send + 'static,
{
    let (listener, address) = Ear::tcp().await;
    let config = Arc::new(authority.issue(&["localhost"], |_| ()).server(&["http/1.1"], None));
    Stage::listen(Ear::Tcp(listener), address, move |wire, number| {
        let (acceptor, script) = (TlsAcceptor::from(Arc::clone(&config)), script.clone());
        async move { script(acceptor.accept(wire).await.unwrap(), number).await }
    })
}

/// Reads a request's head.
async fn hear(stream: &mut TlsStream<Box<dyn Wire>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

/// Ends the connection below TLS, without a word of TLS about it.
async fn cut(stream: TlsStream<Box<dyn Wire>>) {
    let (mut wire, _) = stream.into_inner();
    wire.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_goes_to_the_end_of_its_connection_ends_with_tls() {
    let authority = Authority::new();
    for (end, whole) in [("close_notify", true), ("cut", false)] {
        let stage = undressed(&authority, move |mut stream, _| async move {
            hear(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nall there is").await.unwrap();
            stream.flush().await.unwrap();
            match end {
                "cut" => cut(stream).await,
                _ => stream.shutdown().await.unwrap(),
            }
        })
        .await;
        let (world, ticket) = world_of(&route(&stage, &ca(&authority))).await;
        let mut line = Line::to(world.authority()).await;
        line.send(format!(
            "GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncookie: {ticket}\r\n\r\n",
            world.authority()
        ))
        .await;
        let head = line.head().await.unwrap();
        assert_eq!(field(&head, "transfer-encoding"), Some("chunked"), "{end}: {head}");
        let rest = String::from_utf8(line.rest().await).unwrap();
        assert!(rest.starts_with("C\r\nall there is\r\n"), "{end}: {rest:?}");
        assert_eq!(rest.ends_with("0\r\n\r\n"), whole, "{end}: {rest:?}");
    }
}

#[tokio::test]
async fn a_whole_answer_needs_no_such_end_and_half_a_one_is_none() {
    let authority = Authority::new();
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", (200, "ok")),
        ("HTTP/1.1 200 OK\r\ncontent-le", (502, "upstream_misbehaved")),
        ("", (502, "upstream_misbehaved")),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok", (502, "upstream_misbehaved")),
    ] {
        let stage = undressed(&authority, move |mut stream, _| async move {
            hear(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            cut(stream).await;
        })
        .await;
        let (world, ticket) = world_of(&route(&stage, &ca(&authority))).await;
        for _ in 0..2 {
            assert_eq!(ask(&world, &ticket).await, (expected.0, expected.1.to_owned()), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn what_comes_unasked_over_tls_is_nobodys_answer() {
    let authority = Authority::new();
    let stage = undressed(&authority, |mut stream, number| async move {
        hear(&mut stream).await;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if number == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen").await.unwrap();
            stream.flush().await.unwrap();
        }
        // kept open
        _ = stream.read_u8().await;
    })
    .await;
    let (world, ticket) = world_of(&route(&stage, &ca(&authority))).await;
    assert_eq!(ask(&world, &ticket).await, (200, "0".to_owned()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ask(&world, &ticket).await, (200, "1".to_owned()));
}

#[tokio::test]
async fn a_connection_that_the_app_closed_meanwhile_is_not_used_and_ours_end_with_close_notify() {
    let authority = Authority::new();
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let stage = undressed(&authority, move |mut stream, number| {
        let told = told.clone();
        async move {
            hear(&mut stream).await;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            match number {
                0 => stream.shutdown().await.unwrap(),
                1 => return cut(stream).await,
                _ => {}
            }
            told.send(stream.read(&mut [0]).await).unwrap();
        }
    })
    .await;
    let (world, ticket) = world_of(&route(&stage, &ca(&authority))).await;
    for number in 0..3 {
        assert_eq!(ask(&world, &ticket).await, (200, number.to_string()));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(world);
    for _ in 0..2 {
        let end = soon("our end", hears.recv()).await.unwrap();
        assert_eq!(end.expect("close_notify"), 0);
    }
}
