//! Apps that are reached otherwise than by plain TCP: over a socket of this machine, and with TLS.

use std::sync::{Arc, Mutex};

use tokio::net::UnixListener;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::stage::{Ear, Line, Stage, field, length};
use crate::world::World;

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
