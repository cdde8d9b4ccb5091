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

mod ending;
mod handshake;

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
