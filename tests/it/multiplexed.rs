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
async fn bodies_pass_both_ways_and_keep_their_length() {
    let stage = plain(Builder::new(), |asked, mut reply, _| async move {
        let announced = asked.headers().get("content-length").cloned();
        let body = collect(asked.into_body()).await;
        let length = body.len().to_string();
        let response = Response::builder().header("content-length", &length).header("x-announced", announced.unwrap());
        let mut stream = reply.send_response(response.body(()).unwrap(), false).unwrap();
        stream.send_data(body, true).unwrap();
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let body = "0123456789".repeat(30_000);
    let reply = world.browser().fetch(Method::POST, world.at("/"), &[("cookie", &ticket)], body.clone()).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, body.len()));
    assert_eq!(reply.header("content-length"), Some("300000"));
    assert_eq!(reply.header("x-announced"), Some("300000"));
}

async fn collect(mut stream: RecvStream) -> Bytes {
    let mut all = Vec::new();
    while let Some(Ok(data)) = stream.data().await {
        _ = stream.flow_control().release_capacity(data.len());
        all.extend_from_slice(&data);
    }
    all.into()
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

/// A body that is fed piece by piece.
fn fed() -> (mpsc::UnboundedSender<Frame<Bytes>>, BoxBody<Bytes, std::convert::Infallible>) {
    let (feed, mut pieces) = mpsc::unbounded_channel();
    let pieces = futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx).map(|piece| piece.map(Ok)));
    (feed, StreamBody::new(pieces).boxed())
}

fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert(name, value.parse().unwrap());
    map
}

#[tokio::test]
async fn both_directions_stream_at_once_and_end_with_trailers() {
    let stage = plain(Builder::new(), |asked, mut reply, _| async move {
        let mut body = asked.into_body();
        let mut stream = reply.send_response(Response::new(()), false).unwrap();
        while let Some(Ok(data)) = body.data().await {
            _ = body.flow_control().release_capacity(data.len());
            stream.send_data(data, false).unwrap();
        }
        let sent = body.trailers().await.unwrap().unwrap();
        assert_eq!(sent["x-sent"], "1");
        assert!(!sent.contains_key("x-salesforce-user-id"), "trailers are never identity");
        stream.send_trailers(trailers("grpc-status", "0")).unwrap();
    })
    .await;
    let world = World::with().tls().routes(&route(&stage)).start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_http2(&world).await;
    let (feed, body) = fed();
    let request = Request::post(world.at("/")).header("cookie", &ticket).header("te", "trailers").body(body).unwrap();
    let mut answer = soon("an answer", sender.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), 200);
    for word in ["one", "two", "three"] {
        feed.send(Frame::data(Bytes::from(word))).unwrap();
        let frame = soon("an echo", answer.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), word);
    }
    let mut last = trailers("x-sent", "1");
    last.insert("x-salesforce-user-id", "evil".parse().unwrap());
    feed.send(Frame::trailers(last)).unwrap();
    drop(feed);
    let last = soon("trailers", answer.frame()).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(last["grpc-status"], "0");
}

#[tokio::test]
async fn an_answer_of_a_head_alone_ends_at_its_head() {
    let stage = plain(Builder::new(), |_, mut reply, _| async move {
        let response = Response::builder().header("grpc-status", "5").header("content-type", "application/grpc");
        reply.send_response(response.body(()).unwrap(), true).unwrap();
    })
    .await;
    let world = World::with().tls().routes(&route(&stage)).start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_http2(&world).await;
    let request = Request::post(world.at("/")).header("cookie", &ticket).body(Full::<Bytes>::from("x")).unwrap();
    let answer = soon("an answer", sender.send_request(request)).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "5");
    assert!(hyper::body::Body::is_end_stream(answer.body()), "no frame comes after the head");
}

#[tokio::test]
async fn somebody_who_reads_nothing_holds_up_nobody() {
    let stage = plain(Builder::new(), |asked, mut reply, _| async move {
        if asked.uri().path() == "/small" {
            return say(reply, "ok");
        }
        let mut stream = reply.send_response(Response::new(()), false).unwrap();
        loop {
            stream.reserve_capacity(65_536);
            if std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.is_none_or(|grown| grown.is_err()) {
                return;
            }
            let piece = Bytes::from(vec![b'x'; stream.capacity()]);
            if stream.send_data(piece, false).is_err() {
                return;
            }
        }
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut line = Line::to(world.authority()).await;
        line.send(format!("GET /endless HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n\r\n", world.authority())).await;
        assert!(line.head().await.is_some());
        slow.push(line);
    }
    for _ in 0..5 {
        let reply =
            soon("a small answer", world.browser().fetch(Method::GET, world.at("/small"), &[("cookie", &ticket)], ""))
                .await;
        assert_eq!(reply.body, "ok");
    }
    assert_eq!(stage.connections(), 1);
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

#[tokio::test]
async fn what_an_app_refuses_unseen_is_sent_again() {
    let asked_for = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked_for);
    let stage = plain(Builder::new(), move |_, mut reply, _| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if first { reply.send_reset(Reason::REFUSED_STREAM) } else { say(reply, "ok") } }
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    assert_eq!(ask(&world, &ticket, Method::DELETE, "").await, (200, "ok".to_owned()));
    assert_eq!(asked_for.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_reset_that_says_nothing_of_that_kind_is_a_502_and_nothing_is_sent_again() {
    for reason in [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::PROTOCOL_ERROR] {
        let asked_for = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked_for);
        let stage = plain(Builder::new(), move |_, mut reply, _| {
            count.fetch_add(1, Ordering::SeqCst);
            async move { reply.send_reset(reason) }
        })
        .await;
        let (world, ticket) = world_of(&stage).await;
        for method in [Method::GET, Method::DELETE] {
            assert_eq!(ask(&world, &ticket, method, "").await, (502, "upstream_misbehaved".to_owned()));
        }
        assert_eq!(asked_for.load(Ordering::SeqCst), 2, "{reason:?}");
        assert_eq!(stage.connections(), 1, "a stream's fault is not the connection's");
    }
}

#[tokio::test]
async fn an_app_that_says_goaway_finishes_and_is_connected_to_again() {
    let (listener, authority) = Ear::tcp().await;
    let stage = Stage::listen(Ear::Tcp(listener), authority, |wire, _| async move {
        let mut connection = h2::server::handshake(wire).await.unwrap();
        let mut served = 0;
        while let Some(Ok((_, reply))) = connection.accept().await {
            say(reply, "ok");
            served += 1;
            if served == 3 {
                connection.graceful_shutdown();
            }
        }
    });
    let (world, ticket) = world_of(&stage).await;
    for _ in 0..12 {
        assert_eq!(get(&world, &ticket).await, (200, "ok".to_owned()));
    }
    assert!(stage.connections() >= 3, "{}", stage.connections());
}

#[tokio::test]
async fn an_answer_that_is_reset_is_not_made_whole() {
    let stage = plain(Builder::new(), |_, mut reply, _| async move {
        let mut stream = reply.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from("hello"), false).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.send_reset(Reason::CANCEL);
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let mut line = Line::to(world.authority()).await;
    line.send(format!("GET / HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n\r\n", world.authority())).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 200 "));
    let body = String::from_utf8(line.rest().await).unwrap();
    assert!(body.contains("hello") && !body.ends_with("0\r\n\r\n"), "{body:?}");
}

#[tokio::test]
async fn a_client_that_goes_away_resets_its_stream_alone() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let stage = plain(Builder::new(), move |asked, mut reply, _| {
        let tell = tell.clone();
        async move {
            if asked.uri().path() == "/wait" {
                let reason = std::future::poll_fn(|cx| reply.poll_reset(cx)).await;
                tell.send(reason.unwrap()).unwrap();
            } else {
                say(reply, "ok");
            }
        }
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    assert_eq!(get(&world, &ticket).await.0, 200);
    let mut line = Line::to(world.authority()).await;
    line.send(format!("GET /wait HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n\r\n", world.authority())).await;
    assert!(line.is_silent(Duration::from_millis(100)).await);
    drop(line);
    assert_eq!(soon("a reset", told.recv()).await, Some(Reason::CANCEL));
    assert_eq!(get(&world, &ticket).await.0, 200);
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_the_clients_fault() {
    let stage = plain(Builder::new(), |asked, reply, _| async move {
        let mut body = asked.into_body();
        while let Some(Ok(_)) = body.data().await {}
        drop(reply);
    })
    .await;
    let world = World::with().routes(&route(&stage)).table("[limits]\nbody_idle_timeout = \"200ms\"").start().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    let head = format!("POST / HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n", world.authority());
    line.send(format!("{head}accept: application/json\r\ncontent-length: 10\r\n\r\nhello")).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 408 "));
    let mut line = Line::to(world.authority()).await;
    line.send(format!("{head}accept: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello, you\r\n")).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 400 "));
    assert!(String::from_utf8(line.rest().await).unwrap().contains("\"body_malformed\""));
}

#[tokio::test]
async fn an_app_that_does_not_answer_in_time_is_a_504_and_its_connection_stays() {
    let stage = plain(Builder::new(), |asked, reply, _| async move {
        if asked.method() == Method::GET {
            return say(reply, "ok");
        }
        let _held = reply;
        std::future::pending::<()>().await;
    })
    .await;
    let world = World::with().routes(&route(&stage)).table("[upstream]\nfirst_byte_timeout = \"200ms\"").start().await;
    let ticket = world.ticket().await;
    let late = ask(&world, &ticket, Method::DELETE, "").await;
    assert_eq!(late, (504, "upstream_first_byte_timeout".to_owned()));
    assert_eq!(get(&world, &ticket).await.0, 200);
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn an_app_that_does_not_speak_http2_is_a_502() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        line.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    assert_eq!(ask(&world, &ticket, Method::POST, "x").await, (502, "upstream_misbehaved".to_owned()));
}

#[tokio::test]
async fn an_app_that_closed_its_connection_is_connected_to_again() {
    let (listener, authority) = Ear::tcp().await;
    let stage = Stage::listen(Ear::Tcp(listener), authority, |wire, _| async move {
        let mut connection = h2::server::handshake(wire).await.unwrap();
        if let Some(Ok((_, reply))) = connection.accept().await {
            say(reply, "ok");
        }
        _ = tokio::time::timeout(Duration::from_millis(50), connection.accept()).await;
    });
    let (world, ticket) = world_of(&stage).await;
    for number in 1..=3 {
        assert_eq!(get(&world, &ticket).await, (200, "ok".to_owned()));
        until("the connection's end", || async { stage.connections() == number }).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
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
