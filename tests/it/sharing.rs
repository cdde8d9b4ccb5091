//! Routes to the same app share its connections, and only when nothing of what a connection is differs.

use std::sync::Arc;

use bytes::Bytes;
use h2::server::Builder;
use hyper::{Method, Response};
use tokio::net::UnixListener;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::multiplexed::plain;
use crate::stage::{Ear, Line, Stage, length, soon};
use crate::world::World;

/// Answers each request of a line with its path.
async fn parrot(mut line: Line) {
    while let Some(head) = line.head().await {
        line.take(length(&head)).await;
        let path = head.split(' ').nth(1).unwrap();
        line.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len())).await;
    }
}

async fn old() -> Stage {
    Stage::play(|line: Line, _| parrot(line)).await
}

async fn encrypted(config: rustls::ServerConfig) -> Stage {
    let (listener, authority) = Ear::tcp().await;
    let ear = Ear::Tls(listener, TlsAcceptor::from(Arc::new(config)));
    Stage::listen(ear, authority, |wire, _| parrot(Line::over(wire)))
}

/// Where people sign in.
const REST: &str = "[[route]]\nupstream = \"http://{app}\"\n";

/// A world of one core with a route at each of these paths to `upstream`, with lines of its own.
async fn world_of(upstream: &str, routes: &[(&str, &str)]) -> (World, String) {
    let route = |(path, lines): &(&str, &str)| {
        format!("[[route]]\nname = {path:?}\npath = \"/{path}\"\nupstream = {upstream:?}\n{lines}\n")
    };
    let routes: String = routes.iter().map(route).collect();
    let world = World::with().workers(1).routes(&format!("{routes}{REST}")).start().await;
    let ticket = world.ticket().await;
    (world, ticket)
}

async fn ask(world: &World, ticket: &str, method: Method, path: &str) -> (u16, String) {
    let body = if method == Method::POST { "x" } else { "" };
    let headers = [("cookie", ticket), ("accept", "application/json")];
    let reply = world.browser().fetch(method, world.at(path), &headers, body).await;
    let code = serde_json::from_str::<serde_json::Value>(&reply.body).ok();
    (reply.status.as_u16(), code.and_then(|json| json["error"].as_str().map(str::to_owned)).unwrap_or(reply.body))
}

const ABC: [(&str, &str); 3] = [("a", ""), ("b", "connect_timeout = \"9s\""), ("c", "connections = 7")];

/// Asks by each of three routes, one after the other and twice.
async fn all_three(world: &World, ticket: &str, method: &Method) {
    for path in ["/a", "/b", "/c", "/a", "/b", "/c"] {
        assert_eq!(ask(world, ticket, method.clone(), path).await, (200, path.to_owned()), "{method}");
    }
}

#[tokio::test]
async fn three_routes_to_one_app_need_one_connection() {
    // A request with a body goes another way, and has connections of its own, which are kept where a route says so.
    let keeping = ABC.map(|(name, lines)| (name, format!("{lines}\nafter_body = \"keep\"")));
    for method in [Method::GET, Method::POST] {
        let stage = old().await;
        let keeping = keeping.each_ref().map(|(name, lines)| (*name, lines.as_str()));
        let (world, ticket) = world_of(&format!("http://{}", stage.authority), &keeping).await;
        all_three(&world, &ticket, &method).await;
        assert_eq!(stage.connections(), 1, "{method}");
    }
}

#[tokio::test]
async fn three_routes_to_one_socket_need_one_connection() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let ear = Ear::Unix(UnixListener::bind(&path).unwrap());
    let stage = Stage::listen(ear, String::new(), |wire, _| parrot(Line::over(wire)));
    let (world, ticket) = world_of(&format!("unix:{}", path.display()), &ABC).await;
    all_three(&world, &ticket, &Method::GET).await;
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn three_routes_to_one_app_of_http2_need_one_connection() {
    let stage = plain(Builder::new(), |asked, mut reply, _| async move {
        let mut stream = reply.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from(asked.uri().path().to_owned()), true).unwrap();
    })
    .await;
    let (world, ticket) = world_of(&format!("h2c://{}", stage.authority), &ABC).await;
    all_three(&world, &ticket, &Method::POST).await;
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn an_app_of_two_groups_is_one_app() {
    let (one, two) = (old().await, old().await);
    let list = |addresses: &[&Stage]| {
        let addresses = addresses.iter().map(|stage| format!("http://{}", stage.authority));
        format!("{:?}", addresses.collect::<Vec<_>>())
    };
    let routes = format!(
        "[[route]]\npath = \"/a\"\nupstream = {}\nbalance = \"round-robin\"\n\
         [[route]]\npath = \"/b\"\nupstream = {}\nbalance = \"round-robin\"\n{REST}",
        list(&[&one, &two]),
        list(&[&two, &one])
    );
    let world = World::with().workers(1).routes(&routes).start().await;
    let ticket = world.ticket().await;
    for path in ["/a", "/a", "/b", "/b", "/a", "/b"] {
        assert_eq!(ask(&world, &ticket, Method::GET, path).await.0, 200);
    }
    assert_eq!((one.connections(), two.connections()), (1, 1));
}

#[tokio::test]
async fn routes_with_the_same_tls_share_and_others_do_not() {
    let authority = Authority::new();
    let stage = encrypted(authority.issue(&["localhost", "wiki.internal"], |_| ()).server(&["http/1.1"], None)).await;
    let upstream = format!("https://localhost:{}", stage.authority.rsplit(':').next().unwrap());
    let ca = format!("[route.tls]\nca = {:?}\n", authority.file().display().to_string());
    let named = format!("{ca}server_name = \"wiki.internal\"\n");
    let any = "[route.tls]\ndangerous_accept_any_certificate = true\n";
    let kept = format!("pool_idle_timeout = \"5s\"\n{ca}");
    let old = format!("{ca}http2 = false\n");
    let routes = [("a", &*ca), ("b", &*ca), ("named", &*named), ("any", any), ("kept", &*kept), ("old", &*old)];
    let (world, ticket) = world_of(&upstream, &routes).await;
    for _ in 0..2 {
        for (path, connections) in [("/a", 1), ("/b", 1), ("/named", 2), ("/any", 3), ("/kept", 4), ("/old", 5)] {
            assert_eq!(ask(&world, &ticket, Method::GET, path).await, (200, path.to_owned()));
            assert!(stage.connections() >= connections, "{path}: {}", stage.connections());
        }
    }
    assert_eq!(stage.connections(), 5);
}

// Whoever's certificate was shown when a connection was made would speak for all who use it.
#[tokio::test]
async fn a_route_without_our_certificate_never_speaks_over_a_connection_that_showed_it() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let config = servers.issue(&["localhost"], |_| ()).server(&["http/1.1"], Some(&clients));
    let stage = encrypted(config).await;
    let upstream = format!("https://localhost:{}", stage.authority.rsplit(':').next().unwrap());
    let ours = clients.issue(&["gateway.internal"], |_| ());
    let without = format!("[route.tls]\nca = {:?}\n", servers.file().display().to_string());
    let with = format!(
        "{without}certificate = {:?}\nprivate_key = {:?}\n",
        ours.certificate.display().to_string(),
        ours.private_key.display().to_string()
    );
    let (world, ticket) = world_of(&upstream, &[("with", &with), ("without", &without)]).await;
    for _ in 0..3 {
        assert_eq!(ask(&world, &ticket, Method::GET, "/with").await.0, 200);
        let refused = ask(&world, &ticket, Method::GET, "/without").await;
        assert_eq!(refused, (502, "upstream_handshake".to_owned()));
    }
}

#[tokio::test]
async fn deadlines_and_limits_stay_each_routes_own() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let stage = Stage::play(move |mut line: Line, _| {
        let tell = tell.clone();
        async move {
            while let Some(head) = line.head().await {
                if !head.contains("/patient") {
                    tell.send(()).unwrap_or_default();
                    // Until whoever asked has gone away.
                    line.rest().await;
                    return;
                }
                line.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let routes = [("patient", ""), ("hasty", "first_byte_timeout = \"200ms\""), ("narrow", "connections = 1")];
    let (world, ticket) = world_of(&format!("http://{}", stage.authority), &routes).await;
    assert_eq!(ask(&world, &ticket, Method::GET, "/patient").await.0, 200);
    let late = ask(&world, &ticket, Method::DELETE, "/hasty").await;
    assert_eq!(late, (504, "upstream_first_byte_timeout".to_owned()));
    told.recv().await.unwrap();
    let mut held = Line::to(world.authority()).await;
    held.send(format!("GET /narrow HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n\r\n", world.authority())).await;
    soon("its place to be taken", told.recv()).await.unwrap();
    let refused = ask(&world, &ticket, Method::GET, "/narrow").await;
    assert_eq!(refused, (503, "upstream_busy".to_owned()));
    assert_eq!(ask(&world, &ticket, Method::GET, "/patient").await.0, 200, "another route has room");
}
