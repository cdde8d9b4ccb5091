//! WebSocket over HTTP/2 (RFC 8441): the rules of every tunnel, on one stream of a connection that carries others.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::ext::Protocol;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::demo::app::{App, Running};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

use crate::proxying::secured;
use crate::stage::{Line, Stage, field, soon, until};
use crate::streaming::sign_out;
use crate::world::World;

pub type Answer = Response<hyper::body::Incoming>;
pub type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// A connection whose server has said that it takes extended CONNECTs.
pub async fn connection(world: &World) -> SendRequest<Empty<Bytes>> {
    let stream = secured(world, b"h2").await;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    until("the server's settings", || async { connection.is_extended_connect_protocol_enabled() }).await;
    tokio::spawn(connection);
    sender
}

/// An extended CONNECT with these fields.
pub async fn connect(
    sender: &mut SendRequest<Empty<Bytes>>,
    address: String,
    protocol: &'static str,
    lines: &[(&str, &str)],
) -> Answer {
    let mut request = Request::builder().method(Method::CONNECT).uri(address);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let mut request = request.header("sec-websocket-version", "13").body(Empty::new()).unwrap();
    request.extensions_mut().insert(Protocol::from_static(protocol));
    soon("an answer", sender.send_request(request)).await.unwrap()
}

pub async fn socket(answer: Answer) -> Socket {
    assert_eq!(answer.status(), StatusCode::OK, "{:?}", answer.headers());
    for name in ["connection", "upgrade", "sec-websocket-accept", "content-length", "transfer-encoding"] {
        assert!(!answer.headers().contains_key(name), "{name}: {:?}", answer.headers());
    }
    let stream = soon("the tunnel", hyper::upgrade::on(answer)).await.unwrap();
    WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None).await
}

/// Says something, and hears the demo's app repeat it.
pub async fn talk(socket: &mut Socket, words: &str) {
    socket.send(Message::text(words)).await.unwrap();
    let heard = soon("an echo", async {
        while let Some(message) = socket.next().await {
            if message.unwrap().into_text().is_ok_and(|text| text.contains(words)) {
                return true;
            }
        }
        false
    });
    assert!(heard.await);
}

/// The demo's app behind TLS.
async fn house(app: &Running) -> World {
    World::with().tls().routes(&format!("[[route]]\nupstream = \"{}\"", app.url())).start().await
}

pub async fn refusal(answer: Answer) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = soon("the body", answer.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn a_websocket_is_one_stream_among_others() {
    let app = App::start().await.unwrap();
    let world = house(&app).await;
    let ticket = world.ticket().await;
    let mut sender = connection(&world).await;
    let lines = [("cookie", ticket.as_str()), ("origin", world.url.as_str())];
    let mut one = socket(connect(&mut sender, world.at("/socket"), "websocket", &lines).await).await;
    let mut other = socket(connect(&mut sender, world.at("/socket"), "websocket", &lines).await).await;
    for words in ["one", "two"] {
        talk(&mut one, words).await;
        talk(&mut other, &words.repeat(50_000)).await;
    }
    let page = Request::get(world.at("/")).header("cookie", &ticket).body(Empty::new()).unwrap();
    assert_eq!(soon("a page", sender.send_request(page)).await.unwrap().status(), 200);
    one.close(None).await.unwrap();
    soon("its end", async { while let Some(Ok(_)) = one.next().await {} }).await;
    talk(&mut other, "still here").await;
    sign_out(&world, &ticket).await;
    soon("the end at the sign-out", async { while let Some(Ok(_)) = other.next().await {} }).await;
    app.shutdown().await;
}

#[tokio::test]
async fn a_stranger_gets_no_websocket_over_http2_and_the_app_hears_nothing() {
    let navigation = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let routes = "[[route]]\npath = \"/public\"\npublic = true\nupstream = \"http://{app}\"\n\
                  [[route]]\nupstream = \"http://{app}\"";
    let world = World::with().tls().routes(routes).start().await;
    let mut sender = connection(&world).await;
    for path in ["/socket", "/public/socket"] {
        for lines in [&[][..], &[("cookie", "__Host-portcullis=nobody")], &navigation] {
            let answer = connect(&mut sender, world.at(path), "websocket", lines).await;
            assert_eq!(refusal(answer).await.0, 401, "{path}: {lines:?}");
        }
    }
    assert_eq!(world.app.hits(), 0);
}

// The page with the form that SAML by POST begins with is a success, and a success would be a tunnel.
#[tokio::test]
async fn no_page_of_ours_answers_a_websocket() {
    let binding = portcullis::emulator::saml::app::Binding::Post;
    let world = World::with().tls().saml_binding(binding).start().await;
    let mut sender = connection(&world).await;
    let navigation = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let answer = connect(&mut sender, world.at("/page"), "websocket", &navigation).await;
    assert_eq!(refusal(answer).await.0, 401);
    for path in ["/.portcullis/me", "/.portcullis/signed-out", "/.portcullis/start", "/.portcullis/nothing"] {
        let answer = connect(&mut sender, world.at(path), "websocket", &navigation).await;
        let (status, body) = refusal(answer).await;
        assert_eq!(status, 501, "{path}: {body}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_opens_no_websocket_over_http2_with_my_cookie() {
    let world = World::with().tls().start().await;
    let ticket = world.ticket().await;
    let mut sender = connection(&world).await;
    for origin in ["https://evil.example", "null", "https://localhost", "http://localhost:1"] {
        let lines = [("cookie", ticket.as_str()), ("origin", origin)];
        let answer = connect(&mut sender, world.at("/socket"), "websocket", &lines).await;
        assert_eq!(refusal(answer).await.0, 403, "{origin}");
    }
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn a_connect_for_anything_else_is_refused() {
    let world = World::with().tls().start().await;
    let ticket = world.ticket().await;
    let mut sender = connection(&world).await;
    for protocol in ["connect-udp", "connect-ip", "h2c", "websocket2"] {
        let answer = connect(&mut sender, world.at("/socket"), protocol, &[("cookie", &ticket)]).await;
        let (status, body) = refusal(answer).await;
        assert_eq!(status, 501, "{protocol}");
        assert!(body.contains("tunnel_not_offered"), "{body}");
    }
    let address = hyper::Uri::builder().authority(world.authority()).build().unwrap();
    let plain = Request::builder().method(Method::CONNECT).uri(address).header("cookie", &ticket).body(Empty::new());
    let answer = soon("an answer", sender.send_request(plain.unwrap())).await.unwrap();
    assert_eq!(refusal(answer).await.0, 400);
    assert_eq!(world.app.hits(), 0);
}

/// An app that answers a handshake with what `answer` makes of its head, and then repeats what it is told.
async fn app(answer: fn(&str) -> String) -> Stage {
    Stage::play(move |mut line: Line, _| async move {
        let Some(head) = line.head().await else { return };
        line.send(answer(&head)).await;
        while let Some(words) = line.head().await {
            line.send(words).await;
        }
    })
    .await
}

fn switched(head: &str, accept: &str) -> String {
    assert!(head.starts_with("get /socket?x=1 http/1.1\r\n"), "{head}");
    assert_eq!((field(head, "connection"), field(head, "upgrade")), (Some("upgrade"), Some("websocket")), "{head}");
    assert_eq!(field(head, "sec-websocket-version"), Some("13"), "{head}");
    assert_eq!(field(head, "sec-websocket-protocol"), Some("chat"), "{head}");
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\nsec-websocket-protocol: chat\r\n\r\n"
    )
}

async fn asked(world: &World) -> Answer {
    let ticket = world.ticket().await;
    let mut sender = connection(world).await;
    // A key of the client's own has no meaning in HTTP/2, and its answer must not count.
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let lines = [("cookie", ticket.as_str()), ("sec-websocket-protocol", "chat"), key];
    connect(&mut sender, world.at("/socket?x=1"), "websocket", &lines).await
}

#[tokio::test]
async fn an_app_that_answers_another_handshake_is_not_believed() {
    let stage = app(|head| switched(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")).await;
    let world = World::with().tls().routes(&stage.route()).start().await;
    let (status, body) = refusal(asked(&world).await).await;
    assert_eq!(status, 502, "{body}");
}

#[tokio::test]
async fn an_app_that_answers_with_a_page_is_not_taken_for_a_tunnel() {
    let stage = app(|_| "HTTP/1.1 204 No Content\r\n\r\n".to_owned()).await;
    let world = World::with().tls().routes(&stage.route()).start().await;
    assert_eq!(refusal(asked(&world).await).await.0, 502);
}

#[tokio::test]
async fn an_app_that_declines_is_an_ordinary_answer_over_http2() {
    let stage = app(|_| "HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno!".to_owned()).await;
    let world = World::with().tls().routes(&stage.route()).start().await;
    assert_eq!(refusal(asked(&world).await).await, (403, "no!".to_owned()));
}

/// An open tunnel to the demo's app, and what keeps its connection.
async fn opened(world: &World) -> (Socket, SendRequest<Empty<Bytes>>) {
    // The session begins last: one of these tests waits for its end.
    let mut sender = connection(world).await;
    let ticket = world.ticket().await;
    let answer = connect(&mut sender, world.at("/socket"), "websocket", &[("cookie", &ticket)]).await;
    let mut socket = socket(answer).await;
    talk(&mut socket, "hello").await;
    (socket, sender)
}

#[tokio::test]
async fn a_websocket_over_http2_ends_at_its_sessions_latest_end() {
    let app = App::start().await.unwrap();
    let routes = format!("[[route]]\nupstream = \"{}\"", app.url());
    let world = World::with().tls().routes(&routes).table("[session]\nlifetime = \"8s\"").start().await;
    let (mut socket, _sender) = opened(&world).await;
    soon("the end", async { while let Some(Ok(_)) = socket.next().await {} }).await;
    app.shutdown().await;
}

#[tokio::test]
async fn a_silent_websocket_over_http2_ends() {
    let app = App::start().await.unwrap();
    let routes = format!("[[route]]\nupstream = \"{}\"", app.url());
    let limit = "[upstream]\ntunnel_idle_timeout = \"1s\"";
    let world = World::with().tls().routes(&routes).table(limit).start().await;
    let (mut socket, _sender) = opened(&world).await;
    soon("the end", async { while let Some(Ok(_)) = socket.next().await {} }).await;
    app.shutdown().await;
}

#[tokio::test]
async fn a_websocket_over_http2_is_cut_at_the_shutdowns_deadline() {
    let app = App::start().await.unwrap();
    let world = house(&app).await;
    let (mut socket, _sender) = opened(&world).await;
    let began = Instant::now();
    let shutdown = tokio::spawn(world.gateway.shutdown());
    talk(&mut socket, "while it drains").await;
    soon("the end", async { while let Some(Ok(_)) = socket.next().await {} }).await;
    soon("the shutdown", shutdown).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "it waits for two seconds, and not for ever");
    app.shutdown().await;
}
