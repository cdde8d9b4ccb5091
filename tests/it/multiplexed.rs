//! Apps that speak HTTP/2, in plain text and with TLS: many requests on few connections, and nothing done twice.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::{HeaderMap, Method, Request, Response};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::proxying::speak_http2;
use crate::stage::{Ear, Line, Stage, Wire, field, soon, until};
use crate::world::World;

mod ending;
mod streaming;

type Asked = Request<RecvStream>;
type Reply = SendResponse<Bytes>;

/// An app at `ear` that answers each request by `script`, which is also told the number of the connection.
fn app<F, P>(ear: Ear, authority: String, settings: Builder, script: F) -> Stage
where
    F: Fn(Asked, Reply, usize) -> P + Clone + Send + 'static,
    P: Future<Output = ()> + Send + 'static,
{
    Stage::listen(ear, authority, move |wire, number| {
        let (settings, script) = (settings.clone(), script.clone());
        async move { converse(wire, settings, move |asked, reply| script(asked, reply, number)).await }
    })
}

pub async fn converse<F, P>(wire: Box<dyn Wire>, settings: Builder, script: F)
where
    F: Fn(Asked, Reply) -> P,
    P: Future<Output = ()> + Send + 'static,
{
    let Ok(mut connection) = settings.handshake::<_, Bytes>(wire).await else { return };
    let mut acts = tokio::task::JoinSet::new();
    while let Some(Ok((asked, reply))) = connection.accept().await {
        acts.spawn(script(asked, reply));
    }
}

/// The same in plain text.
pub async fn plain<F, P>(settings: Builder, script: F) -> Stage
where
    F: Fn(Asked, Reply, usize) -> P + Clone + Send + 'static,
    P: Future<Output = ()> + Send + 'static,
{
    let (listener, authority) = Ear::tcp().await;
    app(Ear::Tcp(listener), authority, settings, script)
}

/// Answers with a whole body.
fn say(mut reply: Reply, body: impl Into<Bytes>) {
    if let Ok(mut stream) = reply.send_response(Response::new(()), false) {
        _ = stream.send_data(body.into(), true);
    }
}

fn route(stage: &Stage) -> String {
    format!("[[route]]\nupstream = \"h2c://{}\"\n", stage.authority)
}

async fn world_of(stage: &Stage) -> (World, String) {
    let world = World::with().routes(&route(stage)).start().await;
    let ticket = world.ticket().await;
    (world, ticket)
}

/// One request of a signed-in program; the refusal's code when it is one.
async fn ask(world: &World, ticket: &str, method: Method, body: &'static str) -> (u16, String) {
    let headers = [("cookie", ticket), ("accept", "application/json")];
    let reply = world.browser().fetch(method, world.at("/"), &headers, body).await;
    let code = serde_json::from_str::<serde_json::Value>(&reply.body).ok();
    (reply.status.as_u16(), code.and_then(|json| json["error"].as_str().map(str::to_owned)).unwrap_or(reply.body))
}

async fn get(world: &World, ticket: &str) -> (u16, String) {
    ask(world, ticket, Method::GET, "").await
}

/// So many at once, each of them answered with 200.
async fn crowd(world: &World, ticket: &str, count: usize) {
    futures_util::future::join_all((0..count).map(|_| async {
        assert_eq!(get(world, ticket).await, (200, "ok".to_owned()));
    }))
    .await;
}

// What passes.

#[tokio::test]
async fn many_requests_share_a_connection() {
    let gate = Arc::new(tokio::sync::Barrier::new(30));
    let stage = plain(Builder::new(), move |_, reply, _| {
        let gate = Arc::clone(&gate);
        async move {
            gate.wait().await;
            say(reply, "ok");
        }
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    soon("thirty answers", crowd(&world, &ticket, 30)).await;
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn the_app_receives_a_request_as_http2_has_it() {
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let stage = plain(Builder::new(), move |asked, reply, _| {
        *note.lock().unwrap() = Some(asked.into_parts().0);
        say(reply, "ok");
        async {}
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let mut line = Line::to(world.authority()).await;
    let more = "te: trailers\r\nconnection: te, keep-alive, x-hop, x-forwarded-user, x-forwarded-for\r\nx-hop: 1\r\n\
                keep-alive: 5\r\ncookie: b=2\r\nx-forwarded-user: eve\r\nx-forwarded-for: 10.0.0.1\r\n";
    line.send(format!("GET /a?b=c HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n{more}\r\n", world.authority())).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 200 "));
    let head = seen.lock().unwrap().take().unwrap();
    assert_eq!(head.uri.authority().unwrap().as_str(), world.authority());
    assert_eq!((head.uri.scheme_str(), head.uri.path_and_query().unwrap().as_str()), (Some("http"), "/a?b=c"));
    for gone in ["host", "connection", "keep-alive", "x-hop", "transfer-encoding", "upgrade"] {
        assert!(!head.headers.contains_key(gone), "{gone}");
    }
    assert_eq!(head.headers["te"], "trailers");
    assert_eq!(head.headers["cookie"], "b=2");
    for name in ["x-salesforce-user-id", "x-forwarded-user", "x-forwarded-for", "forwarded", "via"] {
        let values: Vec<_> = head.headers.get_all(name).into_iter().collect();
        assert!(matches!(&values[..], [value] if *value != "eve" && *value != "10.0.0.1"), "{name}: {values:?}");
    }
}

#[tokio::test]
async fn a_head_a_304_and_a_204_have_no_body_and_keep_their_fields() {
    for (method, status) in [(Method::HEAD, 200), (Method::GET, 304), (Method::GET, 204)] {
        for ends_at_once in [true, false] {
            let stage = plain(Builder::new(), move |_, mut reply, _| async move {
                let mut response = Response::builder().status(status).header("etag", "\"x\"");
                if status != 204 {
                    response = response.header("content-length", "1234");
                }
                let mut stream = reply.send_response(response.body(()).unwrap(), ends_at_once).unwrap();
                if !ends_at_once {
                    stream.send_data(Bytes::new(), true).unwrap();
                }
            })
            .await;
            let (world, ticket) = world_of(&stage).await;
            let mut line = Line::to(world.authority()).await;
            for _ in 0..2 {
                let head = format!("{method} / HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n\r\n", world.authority());
                line.send(head).await;
                let head = line.head().await.unwrap();
                assert!(head.starts_with(&format!("http/1.1 {status} ")), "{method} {status}: {head}");
                assert_eq!(field(&head, "etag"), Some("\"x\""));
                if method == Method::HEAD {
                    assert_eq!(field(&head, "content-length"), Some("1234"));
                }
            }
        }
    }
}

// What the app allows, and refuses.

#[tokio::test]
async fn an_app_that_takes_one_at_a_time_gets_one_at_a_time() {
    let most = Arc::new(AtomicUsize::new(0));
    let peak = Arc::clone(&most);
    let (listener, authority) = Ear::tcp().await;
    let stage = Stage::listen(Ear::Tcp(listener), authority, move |wire, _| {
        let (here, peak) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&peak));
        let mut settings = Builder::new();
        settings.max_concurrent_streams(1);
        converse(wire, settings, move |_, reply| {
            let (here, peak) = (Arc::clone(&here), Arc::clone(&peak));
            async move {
                peak.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(30)).await;
                here.fetch_sub(1, Ordering::SeqCst);
                say(reply, "ok");
            }
        })
    });
    let (world, ticket) = world_of(&stage).await;
    soon("ten answers", crowd(&world, &ticket, 10)).await;
    assert_eq!(most.load(Ordering::SeqCst), 1, "on one connection");
    assert!((2..=10).contains(&stage.connections()), "{}", stage.connections());
}

// TLS, and what an app chooses there.

async fn encrypted(authority: &Authority, protocols: &[&str]) -> (Stage, String) {
    let serve = |wire| {
        converse(wire, Builder::new(), |asked, reply| {
            assert_eq!(asked.uri().scheme_str(), Some("https"));
            say(reply, "ok");
            async {}
        })
    };
    Stage::encrypted(authority, protocols, serve, old).await
}

/// HTTP/1.1, with an echo for whoever asks for a tunnel.
async fn old(mut line: Line) {
    while let Some(head) = line.head().await {
        if field(&head, "upgrade").is_some() {
            line.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
            let bytes = line.take(5).await;
            line.send(bytes).await;
            return;
        }
        line.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold").await;
    }
}

#[tokio::test]
async fn an_app_with_tls_chooses_its_protocol() {
    let authority = Authority::new();
    for (protocols, more, answer) in [
        (["h2", "http/1.1"].as_slice(), "", "ok"),
        (&["h2"], "", "ok"),
        (&["http/1.1"], "", "old"),
        (&[], "", "old"),
        (&["h2", "http/1.1"], "http2 = false\n", "old"),
    ] {
        let (stage, route) = encrypted(&authority, protocols).await;
        let world = World::with().routes(&format!("{route}{more}")).start().await;
        let ticket = world.ticket().await;
        for _ in 0..3 {
            assert_eq!(get(&world, &ticket).await, (200, answer.to_owned()), "{protocols:?} {more}");
        }
        assert_eq!(stage.connections(), 1, "{protocols:?} {more}");
    }
}

#[tokio::test]
async fn an_app_that_demands_http1_for_a_request_gets_it_so() {
    let authority = Authority::new();
    let config = Arc::new(authority.issue(&["localhost"], |_| ()).server(&["h2", "http/1.1"], None));
    let (listener, address) = Ear::tcp().await;
    let stage = Stage::listen(Ear::Tcp(listener), address, move |wire, _| {
        let acceptor = TlsAcceptor::from(Arc::clone(&config));
        async move {
            let stream = acceptor.accept(wire).await.unwrap();
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let refuse = |_: Asked, mut reply: Reply| async move { reply.send_reset(Reason::HTTP_1_1_REQUIRED) };
                converse(Box::new(stream), Builder::new(), refuse).await;
            } else {
                old(Line::over(Box::new(stream))).await;
            }
        }
    });
    let (port, file) = (stage.authority.rsplit(':').next().unwrap(), authority.file().display().to_string());
    let routes = format!("[[route]]\nupstream = \"https://localhost:{port}\"\n[route.tls]\nca = {file:?}\n");
    let world = World::with().routes(&routes).start().await;
    let ticket = world.ticket().await;
    for _ in 0..3 {
        assert_eq!(ask(&world, &ticket, Method::DELETE, "").await, (200, "old".to_owned()));
    }
    assert_eq!(stage.connections(), 2, "it is asked for HTTP/2 once");
}

#[tokio::test]
async fn a_tunnel_to_an_app_that_prefers_http2_has_a_connection_of_http1() {
    let authority = Authority::new();
    let (stage, route) = encrypted(&authority, &["h2", "http/1.1"]).await;
    let world = World::with().routes(&route).start().await;
    let ticket = world.ticket().await;
    assert_eq!(get(&world, &ticket).await.1, "ok");
    let mut line = Line::to(world.authority()).await;
    let head = format!("GET / HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n", world.authority());
    line.send(format!("{head}connection: upgrade\r\nupgrade: echo\r\n\r\n")).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 101 "));
    line.send("hello").await;
    assert_eq!(line.take(5).await, b"hello");
    assert_eq!(stage.connections(), 2);
    assert_eq!(get(&world, &ticket).await.1, "ok");
    assert_eq!(stage.connections(), 2);
}

// What is told in other words.

#[tokio::test]
async fn a_call_of_grpc_that_is_declined_is_told_so_in_grpcs_words() {
    let stage = plain(Builder::new(), |_, reply, _| async move { say(reply, "ok") }).await;
    let world = World::with().tls().routes(&route(&stage)).start().await;
    let mut sender = speak_http2(&world).await;
    let request = Request::post(world.at("/echo.Echo/One")).header("content-type", "application/grpc+proto");
    let request = request.header("te", "trailers").body(Full::<Bytes>::from("x")).unwrap();
    let answer = soon("an answer", sender.send_request(request)).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["grpc-status"]), (200, &"16".parse().unwrap()));
    assert!(answer.headers()["grpc-message"].to_str().unwrap().starts_with("sign_in_required: "));
    assert!(hyper::body::Body::is_end_stream(answer.body()), "no frame comes after the head");
    assert_eq!(stage.connections(), 0);
}

#[tokio::test]
async fn interim_answers_by_http2_are_not_taken_for_the_final_one() {
    let stage = plain(Builder::new(), |_, mut reply, _| async move {
        for status in [103, 102] {
            reply.send_informational(Response::builder().status(status).body(()).unwrap()).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        say(reply, "ok");
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    assert_eq!(get(&world, &ticket).await, (200, "ok".to_owned()));
}
