//! What the doors promise, on real loopback sockets. Waiting is for events and for the other end, never for time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::*;
use crate::http::{Body, Request, Response, Scheme, text};

mod framing;
mod parting;

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Longer than anything here takes, shorter than anybody's patience.
const EVER: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(100);

/// For a handler that wants a map of the fields.
fn whole<H, F>(handler: H) -> impl Fn(Arrival, Peer) -> F + Clone
where
    H: Fn(Request, Peer) -> F + Clone,
{
    move |arrival, peer| handler(arrival.into_request(), peer)
}

/// A served door, and what it tells.
struct World {
    address: SocketAddr,
    drain: Drain,
    events: mpsc::UnboundedReceiver<Event>,
    served: JoinHandle<()>,
}

impl World {
    fn open<H, F>(limits: Limits, tls: Option<Arc<Tls>>, handler: H) -> Self
    where
        H: Fn(Request, Peer) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let listener = bind(LOOPBACK, 1).unwrap().remove(0);
        let address = listener.local_addr().unwrap();
        let (tell, events) = mpsc::unbounded_channel();
        let drain = Drain::new();
        let tell: Events = Arc::new(move |event| drop(tell.send(event)));
        let served = tokio::spawn(serve(Door::new(listener, tls, &limits, tell, drain.clone()), whole(handler)));
        Self { address, drain, events, served }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits for the next event of that name; the ones before it are passed over.
    async fn event(&mut self, name: &str) -> Event {
        let wanted = async {
            loop {
                let event = self.events.recv().await.expect("the door is gone");
                if event.name() == name {
                    return event;
                }
            }
        };
        in_time(wanted).await
    }

    async fn ended(self) {
        in_time(self.served).await.unwrap();
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(EVER, future).await.expect("waited in vain")
}

async fn hello(_: Request, _: Peer) -> Response {
    text(StatusCode::OK, "hello")
}

async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    // A reset is an end as well.
    let _ = in_time(stream.read_to_end(&mut all)).await;
    String::from_utf8_lossy(&all).into_owned()
}

async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(end.as_bytes()) {
        all.push(in_time(stream.read_u8()).await.expect("closed early"));
    }
    String::from_utf8(all).unwrap()
}

/// A certificate for `localhost`, the door's configuration with it, and a client that trusts it and offers `alpn`.
fn certified(alpn: &[&[u8]]) -> (Arc<Tls>, tokio_rustls::TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = tls::Files { certificate: folder.path().join("crt"), private_key: folder.path().join("key") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.private_key, made.signing_key.serialize_pem()).unwrap();
    let min_version = tls::MinVersion::default();
    let settings =
        tls::Settings { pairs: vec![files], ordered: None, clients: tls::Clients::default(), min_version, hsts: None };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    (Tls::open(settings, Vec::new()).unwrap().0, tokio_rustls::TlsConnector::from(Arc::new(client)))
}

async fn connect_tls(
    world: &World,
    connector: &tokio_rustls::TlsConnector,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    in_time(connector.connect(name, world.connect().await)).await.unwrap()
}

/// An HTTP/2 client, and the task that drives it until the connection ends.
async fn http2(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> (hyper::client::conn::http2::SendRequest<Empty<bytes::Bytes>>, JoinHandle<hyper::Result<()>>) {
    let (send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (send, tokio::spawn(connection))
}

fn get(uri: &str) -> hyper::Request<Empty<bytes::Bytes>> {
    hyper::Request::get(uri).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn a_request_is_answered_and_the_connection_kept() {
    let world = World::open(Limits::default(), None, |request: Request, peer: Peer| async move {
        assert_eq!(peer.scheme, Scheme::Http);
        assert!(matches!(request.body(), Body::Empty), "no body is no stream");
        text(StatusCode::OK, request.uri().path().to_owned())
    });
    let mut stream = world.connect().await;
    for path in ["/first", "/again"] {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_silent_connection_is_closed_at_the_header_deadline() {
    let mut world = World::open(Limits { header_timeout: SOON, ..Limits::default() }, None, hello);
    let mut stream = world.connect().await;
    assert_eq!(read_all(&mut stream).await, "");
    let peer = stream.local_addr().unwrap();
    assert_eq!(world.event("header_timeout").await, Event::HeaderTimeout { peer: peer.into() });
    world.event("closed").await;
}

#[tokio::test]
async fn half_a_head_is_closed_at_the_header_deadline() {
    for beginning in ["G", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\n"] {
        let mut world = World::open(Limits { header_timeout: SOON, ..Limits::default() }, None, hello);
        let mut stream = world.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        assert_eq!(read_all(&mut stream).await, "");
        world.event("header_timeout").await;
    }
}

#[tokio::test]
async fn what_takes_long_is_not_idle() {
    let world = World::open(Limits { header_timeout: SOON, ..Limits::default() }, None, |_, _| async {
        tokio::time::sleep(3 * SOON).await;
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            tokio::time::sleep(3 * SOON).await;
            tell.send("late").unwrap();
        });
        let pieces = futures_util::stream::unfold(told, |mut told| async {
            let piece = http_body::Frame::data(bytes::Bytes::from_static(told.recv().await?.as_bytes()));
            Some((Ok::<_, crate::http::BodyError>(piece), told))
        });
        Response::new(Body::streamed(http_body_util::StreamBody::new(pieces)))
    });
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut stream, "late\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn an_answer_that_is_taken_slowly_is_not_idle() {
    const LENGTH: usize = 16 * 1024 * 1024;
    let limits = Limits { header_timeout: SOON, ..Limits::default() };
    let world = World::open(limits, None, |_, _| async { text(StatusCode::OK, vec![b'x'; LENGTH]) });
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(5 * SOON).await;
    let answer = read_all(&mut stream).await;
    assert!(answer.ends_with("xxxx") && answer.len() > LENGTH, "{}", answer.len());
}

#[tokio::test]
async fn plain_requests_and_others_take_turns_on_one_connection() {
    let (server, connector) = certified(&[b"http/1.1"]);
    for tls in [None, Some(server)] {
        let world = World::open(Limits::default(), tls.clone(), |request: Request, _| async move {
            if request.uri().path() == "/unread" {
                return text(StatusCode::OK, "unread\n");
            }
            let method = request.method().clone();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            text(StatusCode::OK, format!("{method} {}\n", body.len()))
        });
        let mut stream: Box<dyn Both> = match tls {
            None => Box::new(world.connect().await),
            Some(_) => Box::new(connect_tls(&world, &connector).await),
        };
        let chunked = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        for length in [0, 1, 400, 100_000] {
            wire.extend_from_slice(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n\r\n");
            let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
            wire.extend_from_slice(&[head.as_bytes(), &vec![b'x'; length], chunked.as_bytes()].concat());
            expected.extend(["GET 0\n".to_owned(), format!("POST {length}\n"), "POST 5\n".to_owned()]);
            // Bodies that nobody reads are not the next request.
            wire.extend_from_slice(
                b"PUT /unread HTTP/1.1\r\nhost: a\r\ncontent-length: 20\r\n\r\nGET /smuggled HTTP/1.",
            );
            expected.push("unread\n".to_owned());
        }
        // All at once, then in pieces.
        for size in [usize::MAX, 1000, 7] {
            let (mut reader, mut writer) = tokio::io::split(&mut stream);
            let written = async {
                for piece in wire.chunks(size.min(wire.len())) {
                    writer.write_all(piece).await.unwrap();
                    writer.flush().await.unwrap();
                }
            };
            let read = async {
                for end in &expected {
                    let answer = read_until(&mut reader, end).await;
                    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("close"), "{size}: {answer}");
                }
            };
            tokio::join!(written, read);
        }
        world.drain.begin();
        assert_eq!(read_all(&mut stream).await, "");
        world.ended().await;
    }
}

#[tokio::test]
async fn a_head_behind_a_body_is_read_as_strictly_as_any_other() {
    let world = World::open(Limits::default(), None, hello);
    for first in [
        "content-length: 5\r\n\r\nhello",
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "upgrade: x\r\n\r\n",
    ] {
        let mut stream = world.connect().await;
        let wire = format!("POST / HTTP/1.1\r\nhost: a\r\n{first}GET / HTTP/1.1\nhost: a\r\n\r\n");
        stream.write_all(wire.as_bytes()).await.unwrap();
        let answers = read_all(&mut stream).await;
        let statuses: Vec<&str> = answers.matches("HTTP/1.1 200 OK").chain(answers.matches("HTTP/1.1 400 ")).collect();
        assert_eq!(statuses, ["HTTP/1.1 200 OK", "HTTP/1.1 400 "], "{first}: {answers}");
    }
}

#[tokio::test]
async fn nothing_is_read_behind_a_request_that_ends_nobody_knows_where() {
    let world = World::open(Limits::default(), None, hello);
    for framing in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "content-length: 0, 0\r\n\r\n",
    ] {
        let mut stream = world.connect().await;
        let wire = format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(wire.as_bytes()).await.unwrap();
        let answers = read_all(&mut stream).await;
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{framing}: {answers}");
        assert!(answers.starts_with("HTTP/1.1 400 "), "{framing}: {answers}");
    }
}

trait Both: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Both for T {}

#[tokio::test]
async fn an_idle_connection_is_closed_by_its_own_name() {
    let mut world = World::open(Limits { header_timeout: SOON, ..Limits::default() }, None, hello);
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("hello"));
    world.event("idle_timeout").await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_at_once() {
    let mut world = World::open(Limits { connections: 1, ..Limits::default() }, None, hello);
    let first = world.connect().await;
    world.event("accepted").await;
    let mut second = world.connect().await;
    let answer = read_all(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())) || head.ends_with(&body.len().to_string()));
    world.event("too_many_connections").await;

    drop(first);
    world.event("closed").await;
    let mut third = world.connect().await;
    third.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(read_all(&mut third).await.ends_with("hello"), "the place of the first is free again");
}

#[tokio::test]
async fn a_handshake_that_does_not_happen_ends_at_its_deadline() {
    let (tls, _) = certified(&[]);
    let mut world = World::open(Limits { handshake_timeout: SOON, ..Limits::default() }, Some(tls), hello);
    let mut stream = world.connect().await;
    assert_eq!(read_all(&mut stream).await, "");
    world.event("handshake_timeout").await;
}

#[tokio::test]
async fn the_drain_does_not_wait_for_handshakes() {
    let (tls, _) = certified(&[]);
    let limits = Limits { handshake_timeout: EVER * 100, ..Limits::default() };
    let mut world = World::open(limits, Some(tls), hello);
    let mut stream = world.connect().await;
    world.event("accepted").await;
    world.drain.begin();
    assert_eq!(read_all(&mut stream).await, "");
    world.ended().await;
}

#[tokio::test]
async fn limits_beyond_all_time_do_not_overflow() {
    let ever = Duration::MAX;
    let limits = Limits {
        header_timeout: ever,
        handshake_timeout: ever,
        connection_age: ever,
        body_idle_timeout: ever,
        h2_idle_timeout: ever,
        ..Limits::default()
    };
    let (tls, connector) = certified(&[b"h2"]);
    let world = World::open(limits, Some(tls), hello);
    let (mut send, _) = http2(connect_tls(&world, &connector).await).await;
    assert_eq!(in_time(send.send_request(get("https://localhost/"))).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn plain_text_at_a_tls_door_is_told_so() {
    let (tls, _) = certified(&[]);
    let mut world = World::open(Limits::default(), Some(tls), hello);
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("\r\n\r\nThis port speaks TLS: begin with https://.")
    );
    world.event("plain_text").await;
}

#[tokio::test]
async fn too_many_header_fields_get_431() {
    for limit in [10, Limits::default().headers] {
        let mut world = World::open(Limits { headers: limit, ..Limits::default() }, None, hello);
        for (count, status) in [(limit, "200"), (limit + 1, "431")] {
            let mut stream = world.connect().await;
            let fields: String = (1..count).map(|n| format!("x-{n}: 1\r\n")).collect();
            let head = format!("GET / HTTP/1.1\r\nconnection: close\r\n{fields}\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let answer = read_all(&mut stream).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{limit}: {answer}");
        }
        world.event("headers_too_large").await;
    }
}

#[tokio::test]
async fn a_head_beyond_its_size_gets_431_and_one_below_passes() {
    let mut world = World::open(Limits { header_size: 8192, ..Limits::default() }, None, hello);
    for (length, status) in [(6000, "200"), (9000, "431")] {
        let mut stream = world.connect().await;
        let field = "a".repeat(length);
        let head = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {field}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    world.event("headers_too_large").await;
}

#[tokio::test]
async fn what_is_not_http_is_malformed() {
    for nonsense in
        ["\x16\x03\x01\x02\r\n\r\n", "GET / HTTP/1.1\r\nbad name: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut world = World::open(Limits::default(), None, |_, _| async { unreachable!("nothing to handle") });
        let mut stream = world.connect().await;
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
        world.event("malformed").await;
    }
}

#[tokio::test]
async fn a_body_that_stalls_fails_for_its_reader() {
    let limits = Limits { body_idle_timeout: SOON, ..Limits::default() };
    let mut world = World::open(limits, None, |request: Request, _| async move {
        let error = request.into_body().collect().await.expect_err("the body is never whole");
        assert_eq!(error.downcast_ref(), Some(&body::Stalled::Silent), "{error}");
        text(StatusCode::REQUEST_TIMEOUT, "stalled")
    });
    let mut stream = world.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nab").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    world.event("body_timeout").await;
}

#[tokio::test]
async fn a_body_that_moves_takes_longer_than_the_idle_timeout() {
    let limits = Limits { body_idle_timeout: Duration::from_millis(500), ..Limits::default() };
    let world = World::open(limits, None, |request: Request, _| async move {
        let whole = request.into_body().collect().await.unwrap().to_bytes();
        text(StatusCode::OK, whole)
    });
    let mut stream = world.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 8\r\n\r\n").await.unwrap();
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    for byte in b"12345678" {
        beat.tick().await;
        stream.write_all(&[*byte]).await.unwrap();
    }
    assert!(read_all(&mut stream).await.ends_with("12345678"));
}

/// A body without end.
fn endless() -> Response {
    let piece = || Ok::<_, crate::http::BodyError>(http_body::Frame::data(bytes::Bytes::from_static(&[b'x'; 16384])));
    let stream = futures_util::stream::repeat_with(piece);
    Response::new(Body::streamed(http_body_util::StreamBody::new(stream)))
}

#[tokio::test]
async fn a_client_that_never_reads_is_given_up() {
    let mut world = World::open(Limits::default(), None, |_, _| async { endless() });
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    world.event("write_timeout").await;
    world.event("closed").await;
}

#[tokio::test]
async fn a_stalled_stream_is_reset_and_its_connection_lives_on() {
    let (tls, connector) = certified(&[b"h2"]);
    let mut world = World::open(Limits::default(), Some(tls), |request: Request, _| async move {
        if request.uri().path() == "/endless" { endless() } else { text(StatusCode::OK, "hello") }
    });
    let (mut send, _) = http2(connect_tls(&world, &connector).await).await;
    let stalled = in_time(send.send_request(get("https://localhost/endless"))).await.unwrap();
    world.event("write_timeout").await;
    let answer = in_time(send.send_request(get("https://localhost/"))).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    assert!(in_time(stalled.into_body().collect()).await.is_err(), "it was reset, not ended");
}

#[tokio::test]
async fn draining_finishes_what_runs_and_closes_what_idles() {
    let gate = Arc::new(Semaphore::new(0));
    let entered = Arc::new(Semaphore::new(0));
    let world = World::open(Limits::default(), None, {
        let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
        move |request: Request, _| {
            let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
            async move {
                if request.uri().path() == "/slow" {
                    entered.add_permits(1);
                    gate.acquire().await.unwrap().forget();
                }
                text(StatusCode::OK, "whole")
            }
        }
    });
    let mut fresh = world.connect().await;
    let mut idle = world.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut idle, "whole").await;
    let mut busy = world.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    in_time(entered.acquire()).await.unwrap().forget();

    world.drain.begin();
    assert_eq!(read_all(&mut fresh).await, "");
    assert_eq!(read_all(&mut idle).await, "");
    assert!(TcpStream::connect(world.address).await.is_err(), "nobody new comes in");
    assert!(!world.served.is_finished(), "one request still runs");
    gate.add_permits(1);
    let answer = read_all(&mut busy).await;
    assert!(answer.ends_with("whole") && answer.contains("connection: close"), "{answer}");
    world.ended().await;
}

#[tokio::test]
async fn half_a_head_may_still_come_when_the_drain_begins() {
    let world = World::open(Limits::default(), None, hello);
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut stream, "hello").await;
    stream.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    // Another connection's answer: by then the half has come as well.
    let mut other = world.connect().await;
    other.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut other, "hello").await;
    world.drain.begin();
    assert_eq!(read_all(&mut other).await, "");
    stream.write_all(b"st: a\r\n\r\nGET /never HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.ends_with("hello") && answer.contains("connection: close"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    world.ended().await;
}

#[tokio::test]
async fn whoever_asks_without_reading_is_asked_to_wait_and_answered_in_order() {
    let running = Arc::new(AtomicUsize::new(0));
    let world = World::open(Limits::default(), None, {
        let running = Arc::clone(&running);
        move |request: Request, _| {
            let running = Arc::clone(&running);
            async move {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "one after the other");
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                text(StatusCode::OK, format!("{}{}\n", request.uri().path(), "x".repeat(2000)))
            }
        }
    });
    let (mut reader, mut writer) = world.connect().await.into_split();
    const ALL: usize = 5000;
    let writing = tokio::spawn(async move {
        for number in 0..ALL {
            writer.write_all(format!("GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
        }
        writer
    });
    let mut all = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    let last = format!("/{}{}\n", ALL - 1, "x".repeat(2000));
    while !all.ends_with(last.as_bytes()) {
        let read = in_time(reader.read(&mut chunk)).await.unwrap();
        assert!(read > 0, "closed early");
        all.extend_from_slice(&chunk[..read]);
    }
    let all = String::from_utf8(all).unwrap();
    let answered: Vec<&str> =
        all.lines().filter(|line| line.starts_with('/')).map(|line| line[1..].trim_end_matches('x')).collect();
    assert_eq!(answered, (0..ALL).map(|number| number.to_string()).collect::<Vec<_>>());
    drop(writing.await);
}

#[tokio::test]
async fn a_client_that_closes_its_side_or_resets_is_gone() {
    for way in ["half", "reset"] {
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut world = World::open(Limits::default(), None, move |_, _| {
            let tell = tell.clone();
            async move {
                tell.send(()).unwrap();
                std::future::pending().await
            }
        });
        let mut stream = world.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        in_time(told.recv()).await.unwrap();
        if way == "half" {
            stream.shutdown().await.unwrap();
        } else {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        let _kept = (way == "half").then_some(stream);
        world.event("closed").await;
    }
}

#[tokio::test]
async fn the_deadline_cuts_what_does_not_finish() {
    let mut world = World::open(Limits::default(), None, |_, _| std::future::pending());
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    world.event("accepted").await;
    world.drain.begin();
    world.drain.cut();
    assert_eq!(read_all(&mut stream).await, "");
    world.ended().await;
}

/// Upgrades to an echo; the tunnel is spawned through the drain, as `proxy::upgrade` does.
fn echo(drain: Drain) -> impl Fn(Request, Peer) -> std::future::Ready<Response> + Clone {
    move |mut request, _| {
        let upgrade = hyper::upgrade::on(&mut request);
        drain.spawn(async move {
            let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        let mut response = Response::default();
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("echo"));
        std::future::ready(response)
    }
}

#[tokio::test]
async fn a_tunnel_outlives_the_drain_and_ends_at_the_cut() {
    let drain = Drain::new();
    let listener = bind(LOOPBACK, 1).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let open = Arc::new(AtomicUsize::new(0));
    let events: Events = {
        let open = Arc::clone(&open);
        Arc::new(move |event| match event {
            Event::Accepted => _ = open.fetch_add(1, Ordering::SeqCst),
            Event::Closed => _ = open.fetch_sub(1, Ordering::SeqCst),
            _ => {}
        })
    };
    let door = Door::new(listener, None, &Limits::default(), events, drain.clone());
    let served = tokio::spawn(serve(door, whole(echo(drain.clone()))));

    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await.unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream.write_all(b"before").await.unwrap();
    read_until(&mut stream, "before").await;
    drain.begin();
    stream.write_all(b"during").await.unwrap();
    read_until(&mut stream, "during").await;
    assert_eq!(open.load(Ordering::SeqCst), 1, "a tunnel counts as a connection");
    assert!(!served.is_finished());
    drain.cut();
    assert_eq!(read_all(&mut stream).await, "");
    in_time(served).await.unwrap();
    assert_eq!(open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn alpn_decides_the_protocol() {
    for (alpn, version) in [(&[b"h2".as_slice(), b"http/1.1"][..], "HTTP/2.0"), (&[b"http/1.1"], "HTTP/1.1")] {
        let (tls, connector) = certified(alpn);
        let world = World::open(Limits::default(), Some(tls), |request: Request, peer: Peer| async move {
            assert_eq!(peer.scheme, Scheme::Https);
            text(StatusCode::OK, format!("{:?}", request.version()))
        });
        let stream = connect_tls(&world, &connector).await;
        let body = if version == "HTTP/2.0" {
            let (mut send, _) = http2(stream).await;
            let answer = in_time(send.send_request(get("https://localhost/"))).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        } else {
            let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut request = get("/");
            request.headers_mut().insert("host", HeaderValue::from_static("localhost"));
            let answer = in_time(send.send_request(request)).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        };
        assert_eq!(body, version);
    }
}

#[tokio::test]
async fn a_client_without_a_common_protocol_is_refused() {
    let (tls, connector) = certified(&[b"spdy/3"]);
    let mut world = World::open(Limits::default(), Some(tls), hello);
    let name = ServerName::try_from("localhost").unwrap();
    assert!(in_time(connector.connect(name, world.connect().await)).await.is_err());
    world.event("handshake_failed").await;
}

#[tokio::test]
async fn http2_counts_fields_too_but_not_the_crumbs_of_a_cookie() {
    let (tls, connector) = certified(&[b"h2"]);
    let mut world = World::open(Limits { headers: 10, ..Limits::default() }, Some(tls), hello);
    let (mut send, _) = http2(connect_tls(&world, &connector).await).await;
    for (name, status) in [("cookie", StatusCode::OK), ("x-field", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)] {
        let mut request = get("https://localhost/");
        for _ in 0..20 {
            request.headers_mut().append(name, HeaderValue::from_static("a=b"));
        }
        assert_eq!(in_time(send.send_request(request)).await.unwrap().status(), status, "{name}");
    }
    world.event("headers_too_large").await;
}

#[tokio::test]
async fn an_idle_http2_connection_ends() {
    let (tls, connector) = certified(&[b"h2"]);
    let mut world = World::open(Limits { h2_idle_timeout: SOON, ..Limits::default() }, Some(tls), hello);
    let (mut send, connection) = http2(connect_tls(&world, &connector).await).await;
    in_time(send.send_request(get("https://localhost/"))).await.unwrap();
    world.event("idle_timeout").await;
    in_time(connection).await.unwrap().unwrap();
    world.event("closed").await;
}

#[tokio::test]
async fn a_busy_http2_connection_does_not_idle() {
    let (tls, connector) = certified(&[b"h2"]);
    let limits = Limits { h2_idle_timeout: Duration::from_millis(50), ..Limits::default() };
    let world = World::open(limits, Some(tls), |_, _| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        text(StatusCode::OK, "late")
    });
    let (mut send, _) = http2(connect_tls(&world, &connector).await).await;
    let answer = in_time(send.send_request(get("https://localhost/"))).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "late");
}

#[tokio::test]
async fn an_http2_client_that_never_speaks_is_closed() {
    let (tls, connector) = certified(&[b"h2"]);
    let mut world = World::open(Limits { h2_idle_timeout: SOON, ..Limits::default() }, Some(tls), hello);
    let _silent = connect_tls(&world, &connector).await;
    world.event("idle_timeout").await;
    world.event("closed").await;
}

#[tokio::test]
async fn an_http2_client_that_ignores_the_goodbye_is_closed() {
    let (tls, connector) = certified(&[b"h2"]);
    let mut world = World::open(Limits { h2_idle_timeout: SOON, ..Limits::default() }, Some(tls), hello);
    let mut stream = connect_tls(&world, &connector).await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
    // HEADERS of stream 1, whole: GET https /.
    stream.write_all(b"\x00\x00\x03\x01\x05\x00\x00\x00\x01\x82\x87\x84").await.unwrap();
    // From here on it neither reads nor answers, and does not leave either.
    world.event("idle_timeout").await;
    world.event("closed").await;
    drop(stream);
}

#[tokio::test]
async fn the_drain_ends_http2_connections_and_the_cut_their_streams() {
    let (tls, connector) = certified(&[b"h2"]);
    let world = World::open(Limits::default(), Some(tls), |request: Request, _| async move {
        if request.uri().path() == "/endless" {
            std::future::pending::<()>().await;
        }
        text(StatusCode::OK, "hello")
    });
    let (mut idle, idle_connection) = http2(connect_tls(&world, &connector).await).await;
    in_time(idle.send_request(get("https://localhost/"))).await.unwrap();
    let (mut busy, _) = http2(connect_tls(&world, &connector).await).await;
    in_time(busy.send_request(get("https://localhost/"))).await.unwrap();
    let endless = tokio::spawn(busy.send_request(get("https://localhost/endless")));

    world.drain.begin();
    in_time(idle_connection).await.unwrap().unwrap();
    assert!(!world.served.is_finished());
    world.drain.cut();
    assert!(in_time(endless).await.unwrap().is_err());
    world.ended().await;
}

#[tokio::test]
async fn an_old_connection_is_asked_to_end_after_its_request() {
    let mut world = World::open(Limits { connection_age: SOON, ..Limits::default() }, None, hello);
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("hello"));
    world.event("connection_age").await;
    world.event("closed").await;
}

#[tokio::test]
async fn a_client_that_hangs_up_drops_its_handler() {
    struct Told(mpsc::UnboundedSender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (tell, mut told) = mpsc::unbounded_channel();
    let world = World::open(Limits::default(), None, move |_, _| {
        let told = Told(tell.clone());
        async move {
            told.0.send(()).unwrap();
            std::future::pending().await
        }
    });
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    in_time(told.recv()).await.unwrap();
    drop(stream);
    in_time(told.recv()).await.unwrap();
}

#[tokio::test]
async fn several_listeners_share_a_port_but_not_with_strangers() {
    let ours = bind(LOOPBACK, 2).unwrap();
    let address = ours[0].local_addr().unwrap();
    assert_eq!(ours[1].local_addr().unwrap(), address);
    assert_eq!(bind(address, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(bind(address, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    drop(ours);
    assert_eq!(bind(address, 2).unwrap().len(), 2, "and it is free at once afterwards");
}

#[test]
fn only_an_error_about_one_client_is_tried_again_at_once() {
    assert!(concerns_one_client(&io::ErrorKind::ConnectionAborted.into()));
    let no_descriptors = io::Error::from_raw_os_error(24);
    assert!(!concerns_one_client(&no_descriptors), "{no_descriptors}");
}

#[test]
fn a_share_is_rounded_up() {
    let whole = Limits { connections: 10, ..Limits::default() };
    assert_eq!(whole.share(4).connections, 3);
    assert_eq!(whole.share(0).connections, 10);
}

#[tokio::test]
async fn a_method_of_its_own_reaches_the_handler() {
    let world = World::open(Limits::default(), None, |request: Request, _| async move {
        assert_eq!(request.method(), Method::from_bytes(b"PURGE").unwrap());
        text(StatusCode::OK, "purged")
    });
    let mut stream = world.connect().await;
    stream.write_all(b"PURGE / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("purged"));
}
