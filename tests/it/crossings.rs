//! Whichever way a request comes in and whichever way it goes out: heads, ranges, conditions and uploads arrive as they
//! were meant, over every pair of protocols.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;
use crate::proxying::secured;
use crate::stage::{Ear, Stage, Wire, soon};
use crate::world::World;

const FILE: &str = "0123456789";
const ETAG: &str = "\"v1\"";

/// A file server: ranges, conditions, and uploads whose length it tells.
async fn serve(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let field = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let answer = Response::builder().header("etag", ETAG).header("accept-ranges", "bytes");
    let text = |text: String| Full::new(Bytes::from(text));
    let answer = if head.method == Method::PUT {
        answer.body(text(body.collect().await.unwrap().to_bytes().len().to_string()))
    } else if field("if-none-match").as_deref() == Some(ETAG) {
        answer.status(304).body(text(String::new()))
    } else {
        // "If-Range" of another version asks for the whole.
        let range = field("range").filter(|_| field("if-range").is_none_or(|version| version == ETAG));
        match range.as_deref() {
            None => answer.body(text(FILE.to_owned())),
            Some("bytes=2-5") => {
                answer.status(206).header("content-range", "bytes 2-5/10").body(text(FILE[2..6].into()))
            }
            Some("bytes=0-1,8-9") => answer
                .status(206)
                .header("content-type", "multipart/byteranges; boundary=B")
                .body(text(format!("--B\r\n\r\n{}\r\n--B\r\n\r\n{}\r\n--B--", &FILE[..2], &FILE[8..]))),
            Some(_) => answer.status(416).header("content-range", "bytes */10").body(text(String::new())),
        }
    };
    Ok(answer.unwrap())
}

async fn converse(wire: Box<dyn Wire>, is_h2: bool) {
    let io = TokioIo::new(wire);
    // A client that leaves is no matter of the app's.
    if is_h2 {
        _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service_fn(serve))
            .await;
    } else {
        _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service_fn(serve)).await;
    }
}

/// The app at each kind of place, and the routes to it: `/` and the name of the way.
async fn apps(authority: &Authority, folder: &std::path::Path) -> (Vec<Stage>, String) {
    let mut stages = Vec::new();
    let mut routes = String::new();
    for (name, is_h2) in [("http", false), ("h2c", true)] {
        let (listener, address) = Ear::tcp().await;
        stages.push(Stage::listen(Ear::Tcp(listener), address.clone(), move |wire, _| converse(wire, is_h2)));
        routes += &format!("[[route]]\npath = \"/{name}\"\nupstream = \"{name}://{address}\"\n");
    }
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    stages.push(Stage::listen(Ear::Tcp(listener), address.clone(), move |wire, _| converse(wire, false)));
    routes += &format!("[[route]]\npath = \"/ipv6\"\nupstream = \"http://{address}\"\n");
    for (name, scheme, is_h2) in [("unix", "unix", false), ("h2c-unix", "h2c+unix", true)] {
        let path = folder.join(name);
        let ear = Ear::Unix(UnixListener::bind(&path).unwrap());
        stages.push(Stage::listen(ear, String::new(), move |wire, _| converse(wire, is_h2)));
        routes += &format!("[[route]]\npath = \"/{name}\"\nupstream = \"{scheme}:{}\"\n", path.display());
    }
    for (name, protocol) in [("https", "http/1.1"), ("https-h2", "h2")] {
        let config = authority.issue(&["localhost"], |_| ()).server(&[protocol], None);
        let (listener, address) = Ear::tcp().await;
        let port = address.rsplit(':').next().unwrap().to_owned();
        let ear = Ear::Tls(listener, TlsAcceptor::from(Arc::new(config)));
        stages.push(Stage::listen(ear, address, move |wire, _| converse(wire, protocol == "h2")));
        routes += &format!(
            "[[route]]\npath = \"/{name}\"\nupstream = \"https://localhost:{port}\"\n[route.tls]\nca = {:?}\n",
            authority.file().display().to_string()
        );
    }
    (stages, routes + "[[route]]\nupstream = \"http://{app}\"\n")
}

const WAYS_OUT: [&str; 7] = ["/http", "/h2c", "/ipv6", "/unix", "/h2c-unix", "/https", "/https-h2"];

/// A client on one kept connection, by either protocol.
enum Client {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    async fn all(world: &World, plain: &World) -> [(&'static str, Self, String); 3] {
        let stream = TcpStream::connect(plain.gateway.address).await.unwrap();
        let (by_tcp, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (by_tls, connection) = http1::handshake(TokioIo::new(secured(world, b"http/1.1").await)).await.unwrap();
        tokio::spawn(connection);
        let stream = TokioIo::new(secured(world, b"h2").await);
        let (by_h2, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let ticket = world.ticket().await;
        [
            ("HTTP/1.1", Self::Http1(by_tcp), plain.ticket().await),
            ("HTTP/1.1 over TLS", Self::Http1(by_tls), ticket.clone()),
            ("HTTP/2", Self::Http2(by_h2), ticket),
        ]
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> (StatusCode, HeaderMap, Bytes) {
        let answer = match self {
            Self::Http1(sender) => {
                soon("readiness", sender.ready()).await.unwrap();
                soon("an answer", sender.send_request(request)).await.unwrap()
            }
            Self::Http2(sender) => soon("an answer", sender.send_request(request)).await.unwrap(),
        };
        let (head, body) = answer.into_parts();
        (head.status, head.headers, soon("a body", body.collect()).await.unwrap().to_bytes())
    }
}

#[tokio::test]
async fn heads_ranges_conditions_and_uploads_cross_every_pair_of_protocols() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let (_stages, routes) = apps(&authority, folder.path()).await;
    let secure = World::with().tls().routes(&routes).start().await;
    let plain = World::with().routes(&routes).start().await;
    for (way_in, mut client, ticket) in Client::all(&secure, &plain).await {
        let world = if way_in == "HTTP/1.1" { &plain } else { &secure };
        for way_out in WAYS_OUT {
            let at = format!("{way_in} to {way_out}");
            let mut ask = async |method: Method, fields: &[(&str, &str)], body: String| {
                let target = if way_in == "HTTP/2" { world.at(way_out) } else { way_out.to_owned() };
                let mut request = Request::builder().method(method).uri(target).header("cookie", &ticket);
                if way_in != "HTTP/2" {
                    request = request.header("host", world.authority());
                }
                for (name, value) in fields {
                    request = request.header(*name, *value);
                }
                let (status, headers, body) = client.send(request.body(Full::new(body.into())).unwrap()).await;
                let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
                let about = (text("content-length"), text("content-range"));
                assert_eq!(text("etag").as_deref(), Some(ETAG), "{at}: {status}");
                (status.as_u16(), about, String::from_utf8(body.to_vec()).unwrap())
            };
            let said = |length: &str, range: Option<&str>| (Some(length.to_owned()), range.map(str::to_owned));
            let none = String::new;
            let whole = (200, said("10", None), FILE.to_owned());
            // Twice, so that what a head or a 304 leaves behind would be seen.
            for _ in 0..2 {
                assert_eq!(ask(Method::GET, &[], none()).await, whole, "{at}");
                assert_eq!(ask(Method::HEAD, &[], none()).await, (200, said("10", None), none()), "{at}");
                let part = (206, said("4", Some("bytes 2-5/10")), "2345".to_owned());
                assert_eq!(ask(Method::GET, &[("range", "bytes=2-5")], none()).await, part, "{at}");
                let part = (206, said("4", Some("bytes 2-5/10")), none());
                assert_eq!(ask(Method::HEAD, &[("range", "bytes=2-5")], none()).await, part, "{at}");
                let old = [("range", "bytes=2-5"), ("if-range", "\"v0\"")];
                assert_eq!(ask(Method::GET, &old, none()).await, whole, "{at}");
                let parts = ask(Method::GET, &[("range", "bytes=0-1,8-9")], none()).await;
                assert!(parts.0 == 206 && parts.2.contains("\r\n01\r\n") && parts.2.contains("\r\n89\r\n"), "{at}");
                let (status, (_, range), body) = ask(Method::GET, &[("range", "bytes=99-")], none()).await;
                assert_eq!((status, range.as_deref(), body), (416, Some("bytes */10"), none()), "{at}");
                let (status, _, body) = ask(Method::GET, &[("if-none-match", ETAG)], none()).await;
                assert_eq!((status, body), (304, none()), "{at}");
                for length in [0, 5, 100_000] {
                    let (status, _, body) = ask(Method::PUT, &[], "x".repeat(length)).await;
                    assert_eq!((status, body), (200, length.to_string()), "{at}");
                }
            }
        }
    }
}
