//! WebSockets to apps that speak HTTP/2 (RFC 8441): an extended CONNECT in place of the handshake, for clients of
//! HTTP/1.1 and of HTTP/2, by the rules of every tunnel.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use h2::ext::Protocol;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http_body_util::Empty;
use hyper::client::conn::http2::SendRequest;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

use crate::authority::Authority;
use crate::multiplexed::{converse, plain};
use crate::proxying::secured;
use crate::stage::{Ear, Line, Stage, Wire, field, length, soon, until};
use crate::streaming::sign_out;
use crate::websockets::{Answer, connect, connection, refusal, socket, talk};
use crate::world::World;

type Asked = Request<RecvStream>;
type Reply = SendResponse<Bytes>;

/// What RFC 6455 section 1.3 answers to `KEY`, as a `Line` reads it.
const ACCEPT: &str = "s3pplmbitxaq9kygzzhzrbk+xoo=";
const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n";

/// What an app says that takes extended CONNECTs.
fn willing() -> Builder {
    let mut settings = Builder::new();
    settings.enable_connect_protocol();
    settings
}

fn routes(stage: &Stage) -> String {
    format!("[[route]]\nupstream = \"h2c://{}\"\n", stage.authority)
}

/// A real server of WebSockets over HTTP/2 on one connection: it repeats what it is told.
async fn serve(wire: Box<dyn Wire>) {
    let service = hyper::service::service_fn(|mut asked: Request<hyper::body::Incoming>| async move {
        assert_eq!(*asked.method(), Method::CONNECT);
        assert_eq!(asked.extensions().get::<hyper::ext::Protocol>().unwrap().as_str(), "websocket");
        assert_eq!(asked.headers()["sec-websocket-version"], "13");
        let chat = asked.headers().get("sec-websocket-protocol").cloned();
        tokio::spawn(async move {
            let stream = TokioIo::new(hyper::upgrade::on(&mut asked).await.unwrap());
            let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() && socket.send(message).await.is_err() {
                    return;
                }
            }
        });
        let mut answer = Response::new(Empty::<Bytes>::new());
        if let Some(chat) = chat {
            answer.headers_mut().insert("sec-websocket-protocol", chat);
        }
        Ok::<_, std::convert::Infallible>(answer)
    });
    let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    _ = server.enable_connect_protocol().serve_connection(TokioIo::new(wire), service).await;
}

async fn chat() -> Stage {
    let (listener, authority) = Ear::tcp().await;
    Stage::listen(Ear::Tcp(listener), authority, |wire, _| serve(wire))
}

/// The other end of what was opened by `ask` or `asked`: the streams as the app has them.
struct Opened {
    from_client: RecvStream,
    to_client: SendStream<Bytes>,
}

impl Opened {
    /// The next piece; `None` at END_STREAM, which comes with an empty one.
    async fn data(&mut self) -> Option<Bytes> {
        loop {
            let data = soon("data", self.from_client.data()).await?.unwrap();
            _ = self.from_client.flow_control().release_capacity(data.len());
            if !data.is_empty() {
                return Some(data);
            }
        }
    }

    fn say(&mut self, words: &'static str) {
        self.to_client.send_data(Bytes::from_static(words.as_bytes()), false).unwrap();
    }

    /// Why the client ended it, once it did.
    async fn reset(&mut self) -> Reason {
        soon("a reset", std::future::poll_fn(|cx| self.to_client.poll_reset(cx))).await.unwrap()
    }
}

/// An app that agrees to whatever tunnel, and hands over its end of it.
async fn agreeing() -> (Stage, mpsc::UnboundedReceiver<Opened>) {
    let (tell, told) = mpsc::unbounded_channel();
    let stage = plain(willing(), move |asked: Asked, mut reply: Reply, _| {
        let tell = tell.clone();
        async move {
            let is_tunnel = asked.extensions().get::<Protocol>().is_some();
            let to_client = reply.send_response(Response::new(()), !is_tunnel).unwrap();
            if is_tunnel {
                tell.send(Opened { from_client: asked.into_body(), to_client }).unwrap_or_default();
            }
        }
    })
    .await;
    (stage, told)
}

/// A tunnel of a client that speaks HTTP/1.1.
async fn ask(world: &World, ticket: &str, more: &str) -> Line {
    let mut line = Line::to(world.authority()).await;
    let head = format!("GET /chat?room=1 HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n", world.authority());
    line.send(format!("{head}connection: upgrade\r\nupgrade: websocket\r\naccept: application/json\r\n{more}\r\n"))
        .await;
    line
}

async fn opened(world: &World, ticket: &str) -> Line {
    let mut line = ask(world, ticket, KEY).await;
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    line
}

async fn declined(mut line: Line) -> (String, String) {
    let head = line.head().await.unwrap();
    let body = line.take(length(&head)).await;
    (head.split(' ').nth(1).unwrap().to_owned(), String::from_utf8(body).unwrap())
}

/// The same of one that speaks HTTP/2, and what keeps its connection.
async fn asked(world: &World, ticket: &str) -> (Answer, SendRequest<Empty<Bytes>>) {
    let mut sender = connection(world).await;
    let lines = [("cookie", ticket), ("accept", "application/json")];
    let answer = connect(&mut sender, world.at("/chat?room=1"), "websocket", &lines).await;
    (answer, sender)
}

// What passes.

#[tokio::test]
async fn a_websocket_by_http1_talks_to_an_app_of_http2() {
    let stage = chat().await;
    let world = World::with().tls().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let mut request = world.at("/chat").replace("https://", "wss://").into_client_request().unwrap();
        request.headers_mut().insert("cookie", ticket.parse().unwrap());
        request.headers_mut().insert("sec-websocket-protocol", "chat".parse().unwrap());
        let stream = secured(&world, b"http/1.1").await;
        // It looks at Sec-WebSocket-Accept.
        let (socket, head) = soon("a handshake", tokio_tungstenite::client_async(request, stream)).await.unwrap();
        assert_eq!(head.headers()["sec-websocket-protocol"], "chat");
        sockets.push(socket);
    }
    for words in ["one", "two", &"large ".repeat(50_000)] {
        for socket in &mut sockets {
            socket.send(Message::text(words)).await.unwrap();
            assert_eq!(soon("an echo", socket.next()).await.unwrap().unwrap().into_text().unwrap(), words);
        }
    }
    assert_eq!(stage.connections(), 1, "each is a stream among others");
    let mut last = sockets.pop().unwrap();
    last.close(None).await.unwrap();
    soon("its end", async { while let Some(Ok(_)) = last.next().await {} }).await;
    sockets[0].send(Message::text("still here")).await.unwrap();
    assert_eq!(soon("an echo", sockets[0].next()).await.unwrap().unwrap().into_text().unwrap(), "still here");
}

#[tokio::test]
async fn a_websocket_by_http2_talks_to_an_app_of_http2() {
    let stage = chat().await;
    let world = World::with().tls().routes(&routes(&stage)).start().await;
    let (answer, _sender) = asked(&world, &world.ticket().await).await;
    let mut socket = socket(answer).await;
    for words in ["one", "two", &"large ".repeat(50_000)] {
        talk(&mut socket, words).await;
    }
    socket.close(None).await.unwrap();
    soon("its end", async { while let Some(Ok(_)) = socket.next().await {} }).await;
}

#[tokio::test]
async fn the_app_receives_an_extended_connect_and_the_client_its_own_answer() {
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let stage = plain(willing(), move |asked: Asked, mut reply: Reply, _| {
        let (head, body) = asked.into_parts();
        *note.lock().unwrap() = Some(head);
        let answer = Response::builder().header("sec-websocket-protocol", "chat").header("x-of", "the app");
        let answer = answer.header("sec-websocket-accept", "forged").header("set-cookie", "a=b");
        let stream = reply.send_response(answer.body(()).unwrap(), false).unwrap();
        async move {
            let _open = (body, stream);
            std::future::pending::<()>().await;
        }
    })
    .await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let more = "sec-websocket-protocol: chat, talk\r\nsec-websocket-extensions: permessage-deflate\r\n\
                content-length: 0\r\norigin: ORIGIN\r\nx-forwarded-user: eve\r\n";
    let more = format!("{KEY}{}", more.replace("ORIGIN", &world.url));
    let mut line = ask(&world, &world.ticket().await, &more).await;
    let answer = line.head().await.unwrap();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert_eq!((field(&answer, "connection"), field(&answer, "upgrade")), (Some("upgrade"), Some("websocket")));
    assert_eq!(field(&answer, "sec-websocket-accept"), Some(ACCEPT), "the client's key is answered, by us");
    assert_eq!((field(&answer, "sec-websocket-protocol"), field(&answer, "x-of")), (Some("chat"), Some("the app")));

    let head = seen.lock().unwrap().take().unwrap();
    assert_eq!((&head.method, head.extensions.get::<Protocol>().unwrap().as_str()), (&Method::CONNECT, "websocket"));
    assert_eq!(head.uri.to_string(), format!("http://{}/chat?room=1", world.authority()));
    for gone in ["host", "connection", "upgrade", "sec-websocket-key", "content-length", "transfer-encoding"] {
        assert!(!head.headers.contains_key(gone), "{gone}: {:?}", head.headers);
    }
    for (name, value) in [
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, talk"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("origin", &world.url),
    ] {
        assert_eq!(head.headers[name], value);
    }
    assert_ne!(head.headers["x-forwarded-user"], "eve");
    assert!(head.headers.contains_key("x-salesforce-user-id"));
}

#[tokio::test]
async fn what_is_sent_before_the_apps_answer_waits_for_it() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let stage = plain(willing(), move |asked: Asked, mut reply: Reply, _| {
        let tell = tell.clone();
        async move {
            let mut body = asked.into_body();
            let early = tokio::time::timeout(Duration::from_millis(200), body.data()).await;
            tell.send(early.is_err()).unwrap();
            let _open = reply.send_response(Response::new(()), false).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), "early");
            tell.send(true).unwrap();
        }
    })
    .await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let mut line = ask(&world, &world.ticket().await, KEY).await;
    line.send("early").await;
    assert_eq!(soon("the app's look", told.recv()).await, Some(true), "nothing before the app agrees");
    assert_eq!(soon("the bytes", told.recv()).await, Some(true));
}

// Over TLS.

/// An app with TLS that speaks what `protocols` say: chat over HTTP/2, and a word over HTTP/1.1.
async fn encrypted(authority: &Authority, protocols: &[&str]) -> (Stage, String) {
    Stage::encrypted(authority, protocols, serve, |mut line| async move {
        line.head().await;
        line.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nold").await;
    })
    .await
}

#[tokio::test]
async fn an_app_with_tls_that_speaks_http2_alone_has_its_websockets_there() {
    let authority = Authority::new();
    let (stage, routes) = encrypted(&authority, &["h2"]).await;
    let world = World::with().tls().routes(&routes).start().await;
    let ticket = world.ticket().await;
    for _ in 0..3 {
        let (answer, _sender) = asked(&world, &ticket).await;
        talk(&mut socket(answer).await, "hello").await;
    }
    assert_eq!(stage.connections(), 2, "HTTP/1.1 was tried once");
    let world = World::with().routes(&format!("{routes}http2 = false\n")).start().await;
    let (status, body) = declined(ask(&world, &world.ticket().await, KEY).await).await;
    assert_eq!(status, "502", "{body}");
    assert!(body.contains("upstream_handshake"), "{body}");
}

#[tokio::test]
async fn an_app_with_tls_that_speaks_both_has_its_websockets_by_http1() {
    let authority = Authority::new();
    for protocols in [&["h2", "http/1.1"][..], &["http/1.1"], &[]] {
        let (_stage, routes) = encrypted(&authority, protocols).await;
        let world = World::with().routes(&routes).start().await;
        let answer = declined(ask(&world, &world.ticket().await, KEY).await).await;
        assert_eq!(answer, ("403".to_owned(), "old".to_owned()), "{protocols:?}");
    }
}

// What does not pass.

#[tokio::test]
async fn an_app_that_does_not_enable_it_is_a_501_that_says_so() {
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let stage = plain(Builder::new(), move |_: Asked, _: Reply, _| {
        count.fetch_add(1, Ordering::SeqCst);
        async {}
    })
    .await;
    let world = World::with().tls().routes(&routes(&stage)).start().await;
    let (answer, _sender) = asked(&world, &world.ticket().await).await;
    let (status, body) = refusal(answer).await;
    assert_eq!(status, 501);
    assert!(body.contains("upstream_no_tunnel") && body.contains("extended CONNECT"), "{body}");
    let world = World::with().routes(&routes(&stage)).start().await;
    let (status, body) = declined(ask(&world, &world.ticket().await, KEY).await).await;
    assert_eq!(status, "501");
    assert!(body.contains("upstream_no_tunnel"), "{body}");
    assert_eq!(hits.load(Ordering::SeqCst), 0, "a client MUST NOT send it then (RFC 8441 section 4)");
}

#[tokio::test]
async fn no_other_upgrade_passes_to_an_app_of_http2() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    for protocol in ["echo", "websocket2", "tls/1.0"] {
        let mut line = Line::to(world.authority()).await;
        let head = format!("GET / HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n", world.authority());
        line.send(format!("{head}connection: upgrade\r\nupgrade: {protocol}\r\n{KEY}\r\n")).await;
        let (status, body) = declined(line).await;
        assert_eq!(status, "501", "{protocol}: {body}");
    }
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_handshake_without_a_valid_key_is_a_400_and_the_app_hears_nothing() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    for key in ["", "sec-websocket-key: short\r\n", &format!("{KEY}{KEY}")] {
        let (status, body) = declined(ask(&world, &ticket, key).await).await;
        assert_eq!(status, "400", "{key:?}");
        assert!(body.contains("bad_request") && body.contains("Sec-WebSocket-Key"), "{body}");
    }
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn an_app_of_http2_that_declines_is_an_ordinary_answer() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let stage = plain(willing(), move |asked: Asked, mut reply: Reply, _| {
        let tell = tell.clone();
        async move {
            let answer = Response::builder().status(403).header("content-length", "3").body(()).unwrap();
            let mut to_client = reply.send_response(answer, false).unwrap();
            to_client.send_data(Bytes::from("no!"), true).unwrap();
            let mut opened = Opened { from_client: asked.into_body(), to_client };
            tell.send(opened.data().await.is_none()).unwrap();
        }
    })
    .await;
    let world = World::with().tls().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    let (answer, _sender) = asked(&world, &ticket).await;
    assert_eq!(refusal(answer).await, (403, "no!".to_owned()));
    assert_eq!(soon("the stream's end", told.recv()).await, Some(true));
    let world = World::with().routes(&routes(&stage)).start().await;
    let mut line = ask(&world, &world.ticket().await, KEY).await;
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 403 ") && field(&head, "upgrade").is_none(), "{head}");
    assert_eq!(line.take(3).await, b"no!");
}

#[tokio::test]
async fn an_app_of_http2_that_answers_with_a_page_is_not_taken_for_a_tunnel() {
    for (ends, length) in [(true, None), (false, Some("5")), (false, Some("0"))] {
        let stage = plain(willing(), move |_: Asked, mut reply: Reply, _| async move {
            let mut answer = Response::builder().status(200);
            if let Some(length) = length {
                answer = answer.header("content-length", length);
            }
            let _open = reply.send_response(answer.body(()).unwrap(), ends).unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let world = World::with().routes(&routes(&stage)).start().await;
        let (status, body) = declined(ask(&world, &world.ticket().await, KEY).await).await;
        assert_eq!(status, "502", "{ends} {length:?}");
        assert!(body.contains("upstream_misbehaved"), "{body}");
    }
}

#[tokio::test]
async fn any_success_of_an_app_of_http2_opens_the_tunnel() {
    for status in [200, 201, 299] {
        let stage = plain(willing(), move |_: Asked, mut reply: Reply, _| async move {
            let answer = Response::builder().status(status).body(()).unwrap();
            reply.send_response(answer, false).unwrap().send_data(Bytes::from("hello"), true).unwrap();
        })
        .await;
        let world = World::with().routes(&routes(&stage)).start().await;
        let mut line = opened(&world, &world.ticket().await).await;
        assert_eq!(line.take(5).await, b"hello", "{status}");
    }
}

#[tokio::test]
async fn of_several_addresses_one_that_takes_tunnels_is_found() {
    let (able, mut told) = agreeing().await;
    let unable = plain(Builder::new(), |_: Asked, _: Reply, _| async {}).await;
    let list = format!("upstream = [\"h2c://{}\", \"h2c://{}\"]", unable.authority, able.authority);
    let world = World::with().routes(&format!("[[route]]\n{list}\nbalance = \"round-robin\"\n")).start().await;
    let ticket = world.ticket().await;
    for _ in 0..4 {
        let _line = opened(&world, &ticket).await;
        soon("a tunnel", told.recv()).await.unwrap();
    }
}

// Its life.

#[tokio::test]
async fn each_side_closes_its_half_when_it_likes() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().tls().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    // The app first.
    let (answer, mut sender) = asked(&world, &ticket).await;
    let mut stream = TokioIo::new(soon("the tunnel", hyper::upgrade::on(answer)).await.unwrap());
    let mut app = soon("a tunnel", told.recv()).await.unwrap();
    app.to_client.send_data(Bytes::from("bye"), true).unwrap();
    let mut heard = Vec::new();
    soon("its end", tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut heard)).await.unwrap();
    assert_eq!(heard, b"bye");
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"and you").await.unwrap();
    assert_eq!(app.data().await.unwrap(), "and you");
    tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
    assert!(app.data().await.is_none(), "END_STREAM");
    // The client first.
    let lines = [("cookie", ticket.as_str())];
    let answer = connect(&mut sender, world.at("/chat"), "websocket", &lines).await;
    let mut stream = TokioIo::new(soon("the tunnel", hyper::upgrade::on(answer)).await.unwrap());
    let mut app = soon("a tunnel", told.recv()).await.unwrap();
    tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
    assert!(app.data().await.is_none(), "END_STREAM");
    app.to_client.send_data(Bytes::from("goodbye"), true).unwrap();
    let mut heard = Vec::new();
    soon("its end", tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut heard)).await.unwrap();
    assert_eq!(heard, b"goodbye");
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn an_app_that_resets_its_stream_ends_the_clients_connection_alone() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    let (mut line, mut other) = (opened(&world, &ticket).await, opened(&world, &ticket).await);
    let (mut app, mut its) = (told.recv().await.unwrap(), told.recv().await.unwrap());
    app.to_client.send_reset(Reason::INTERNAL_ERROR);
    assert_eq!(line.rest().await, b"");
    its.say("still here");
    assert_eq!(other.take(10).await, b"still here");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_stream_alone() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().tls().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    let (answer, _sender) = asked(&world, &ticket).await;
    let tunnel = hyper::upgrade::on(answer).await.unwrap();
    let mut app = told.recv().await.unwrap();
    let (answer, _other) = asked(&world, &ticket).await;
    let mut second = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    let mut its = told.recv().await.unwrap();
    drop(tunnel);
    assert!(app.data().await.is_none(), "END_STREAM");
    its.say("hello");
    let mut heard = [0; 5];
    soon("a word", tokio::io::AsyncReadExt::read_exact(&mut second, &mut heard)).await.unwrap();
    // Whoever talks to nobody is told so.
    until("a reset", || {
        _ = app.to_client.send_data(Bytes::from_static(b"anybody?"), false);
        let reset = std::future::poll_fn(|cx| std::task::Poll::Ready(app.to_client.poll_reset(cx).is_ready()));
        let ended = futures_util::FutureExt::now_or_never(reset);
        async move { ended == Some(true) }
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_to_an_app_of_http2_counts_as_a_connection_until_it_ends() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    let counted = |open| {
        let world = &world;
        until("the connections", move || async move { world.metric("portcullis_connections").await == open })
    };
    counted(0).await;
    let (one, mut other) = (opened(&world, &ticket).await, opened(&world, &ticket).await);
    let (mut mine, mut its) = (told.recv().await.unwrap(), told.recv().await.unwrap());
    counted(2).await;
    drop(one);
    assert!(mine.data().await.is_none(), "END_STREAM");
    mine.to_client.send_data(Bytes::new(), true).unwrap();
    counted(1).await;
    its.to_client.send_reset(Reason::INTERNAL_ERROR);
    assert_eq!(other.rest().await, b"");
    counted(0).await;
}

#[tokio::test]
async fn a_tunnel_over_http2_ends_at_the_sign_out_of_its_person_alone() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let (mine, theirs) = (world.ticket().await, world.ticket().await);
    let mut line = opened(&world, &mine).await;
    let mut app = told.recv().await.unwrap();
    let mut other = opened(&world, &theirs).await;
    let mut its = told.recv().await.unwrap();
    sign_out(&world, &mine).await;
    assert_eq!(line.rest().await, b"");
    assert_eq!(app.reset().await, Reason::CANCEL);
    its.say("still here");
    assert_eq!(other.take(10).await, b"still here");
}

#[tokio::test]
async fn a_tunnel_over_http2_ends_at_its_sessions_latest_end() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).table("[session]\nlifetime = \"3s\"").start().await;
    let mut line = opened(&world, &world.ticket().await).await;
    let mut app = told.recv().await.unwrap();
    assert_eq!(line.rest().await, b"");
    assert_eq!(app.reset().await, Reason::CANCEL);
}

#[tokio::test]
async fn a_silent_tunnel_over_http2_ends_and_whoever_talks_stays() {
    let (stage, mut told) = agreeing().await;
    let limit = "[upstream]\ntunnel_idle_timeout = \"1s\"";
    let world = World::with().routes(&routes(&stage)).table(limit).start().await;
    let mut line = opened(&world, &world.ticket().await).await;
    let mut app = told.recv().await.unwrap();
    for turn in 0..4 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        if turn % 2 == 0 {
            line.send("awake").await;
            assert_eq!(app.data().await.unwrap(), "awake");
        } else {
            app.say("awake");
            assert_eq!(line.take(5).await, b"awake");
        }
    }
    assert_eq!(line.rest().await, b"");
    assert_eq!(app.reset().await, Reason::CANCEL);
}

#[tokio::test]
async fn a_tunnel_over_http2_is_cut_at_the_shutdowns_deadline() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let mut line = opened(&world, &world.ticket().await).await;
    let mut app = told.recv().await.unwrap();
    let began = Instant::now();
    let shutdown = tokio::spawn(world.gateway.shutdown());
    app.say("while it drains");
    assert_eq!(line.take(15).await, b"while it drains");
    assert_eq!(line.rest().await, b"");
    soon("the shutdown", shutdown).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "it waits for two seconds, and not for ever");
    drop(stage);
}

#[tokio::test]
async fn a_goaway_leaves_the_tunnel_and_new_requests_go_elsewhere() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let (listener, authority) = Ear::tcp().await;
    let stage = Stage::listen(Ear::Tcp(listener), authority, move |wire, _| {
        let tell = tell.clone();
        async move {
            let mut connection = willing().handshake::<_, Bytes>(wire).await.unwrap();
            while let Some(Ok((asked, mut reply))) = connection.accept().await {
                let to_client = reply.send_response(Response::new(()), false).unwrap();
                tell.send(Opened { from_client: asked.into_body(), to_client }).unwrap_or_default();
                connection.graceful_shutdown();
            }
        }
    });
    let world = World::with().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    let mut line = opened(&world, &ticket).await;
    let mut app = told.recv().await.unwrap();
    // It may take a request more before the app's word is here.
    while stage.connections() == 1 {
        let mut next = opened(&world, &ticket).await;
        let mut its = soon("a tunnel", told.recv()).await.unwrap();
        its.say("new");
        assert_eq!(next.take(3).await, b"new");
    }
    line.send("still here").await;
    assert_eq!(app.data().await.unwrap(), "still here");
    app.say("and well");
    assert_eq!(line.take(8).await, b"and well");
}

#[tokio::test]
async fn an_app_that_goes_down_ends_its_tunnels() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let mut line = opened(&world, &world.ticket().await).await;
    let app = told.recv().await.unwrap();
    drop((stage, app));
    assert_eq!(line.rest().await, b"");
}

// Who reads slowly slows who writes.

#[tokio::test]
async fn an_app_that_reads_nothing_slows_its_client() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let mut line = opened(&world, &world.ticket().await).await;
    let app = told.recv().await.unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let writer = tokio::spawn(async move {
        while line.push(&[b'x'; 16_384]).await {
            count.fetch_add(16_384, Ordering::SeqCst);
        }
    });
    stands_still(&sent).await;
    assert!(sent.load(Ordering::SeqCst) < 32 * 1024 * 1024, "{sent:?}: what the sockets hold, and a window");
    drop(app);
    soon("the writer's end", writer).await.unwrap();
}

#[tokio::test]
async fn a_client_that_reads_nothing_slows_its_app_and_nobody_else() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    let line = opened(&world, &ticket).await;
    let mut app = told.recv().await.unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let writer = tokio::spawn(async move {
        loop {
            app.to_client.reserve_capacity(16_384);
            if app.to_client.capacity() == 0
                && std::future::poll_fn(|cx| app.to_client.poll_capacity(cx)).await.is_none_or(|grown| grown.is_err())
            {
                return;
            }
            let piece = Bytes::from(vec![b'x'; app.to_client.capacity()]);
            count.fetch_add(piece.len(), Ordering::SeqCst);
            if app.to_client.send_data(piece, false).is_err() {
                return;
            }
        }
    });
    stands_still(&sent).await;
    assert!(sent.load(Ordering::SeqCst) < 32 * 1024 * 1024, "{sent:?}: what the sockets hold, and a window");
    let mut other = opened(&world, &ticket).await;
    let mut its = told.recv().await.unwrap();
    its.say("hello");
    assert_eq!(other.take(5).await, b"hello");
    assert_eq!(stage.connections(), 1);
    drop(line);
    soon("the writer's end", writer).await.unwrap();
}

/// Waits until a count that has begun to grow no longer does.
async fn stands_still(count: &AtomicUsize) {
    let last = AtomicUsize::new(0);
    until("a standstill", || async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = count.load(Ordering::SeqCst);
        now > 0 && last.swap(now, Ordering::SeqCst) == now
    })
    .await;
}

// What is counted.

#[tokio::test]
async fn a_tunnel_over_http2_counts_as_a_request_under_way_until_it_ends() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().workers(1).routes(&routes(&stage)).table("[upstream]\nconnections = 1").start().await;
    let ticket = world.ticket().await;
    let line = opened(&world, &ticket).await;
    let mut app = told.recv().await.unwrap();
    let (status, body) = declined(ask(&world, &ticket, KEY).await).await;
    assert_eq!(status, "503");
    assert!(body.contains("upstream_busy"), "{body}");
    drop(line);
    assert!(app.data().await.is_none());
    drop(app);
    until("its place", || async { ask(&world, &ticket, KEY).await.head().await.unwrap().contains(" 101 ") }).await;
}

#[tokio::test]
async fn more_tunnels_than_a_connection_holds_open_another() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let (listener, authority) = Ear::tcp().await;
    let stage = Stage::listen(Ear::Tcp(listener), authority, move |wire, _| {
        let tell = tell.clone();
        async move {
            let mut settings = willing();
            settings.max_concurrent_streams(2);
            converse(wire, settings, move |asked, mut reply| {
                let to_client = reply.send_response(Response::new(()), false).unwrap();
                tell.send(Opened { from_client: asked.into_body(), to_client }).unwrap_or_default();
                async {}
            })
            .await;
        }
    });
    let world = World::with().workers(1).routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push((opened(&world, &ticket).await, told.recv().await.unwrap()));
    }
    assert_eq!(stage.connections(), 3);
    for (line, app) in &mut open {
        app.say("hello");
        assert_eq!(line.take(5).await, b"hello");
    }
}
