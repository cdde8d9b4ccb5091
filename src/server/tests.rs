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

mod deadlines;
mod drain;
mod framing;
mod half_closed;
mod http2;
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

trait Both: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Both for T {}

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

/// A body without end.
fn endless() -> Response {
    let piece = || Ok::<_, crate::http::BodyError>(http_body::Frame::data(bytes::Bytes::from_static(&[b'x'; 16384])));
    let stream = futures_util::stream::repeat_with(piece);
    Response::new(Body::streamed(http_body_util::StreamBody::new(stream)))
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
