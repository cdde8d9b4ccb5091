//! The PROXY protocol: who is believed about where a client comes from, and who never is.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::listeners::exchange;
use crate::stage::{soon, until};
use crate::world::{Builder, World};

const LINE: &str = "PROXY TCP4 203.0.113.9 127.0.0.1 40000 443\r\n";
const PUBLIC: &str = "[[route]]\npublic = true\nupstream = \"http://{app}\"\n";

/// A header of version 2.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length[..], rest].concat()
}

/// 203.0.113.9:40000 to 127.0.0.1:443, with an addition.
fn four() -> Vec<u8> {
    binary(0x21, 0x11, &[203, 0, 113, 9, 127, 0, 0, 1, 0x9c, 0x40, 1, 0xbb, 4, 0, 1, 0])
}

fn behind(neighbours: &str) -> Builder {
    World::with().routes(PUBLIC).top(&format!("proxy_protocol = [{neighbours}]"))
}

fn request(world: &World, more: &str) -> Vec<u8> {
    format!("GET /x HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{more}\r\n", world.authority()).into_bytes()
}

async fn say(world: &World, bytes: &[u8]) -> String {
    let stream = TcpStream::connect(world.gateway.address).await.unwrap();
    exchange(stream, bytes).await
}

async fn event(world: &World, name: &str) -> u64 {
    world.metric(&format!("portcullis_server_events_total{{event=\"{name}\"}}")).await
}

fn came_from(world: &World) -> String {
    world.app.last().one("x-forwarded-for").unwrap()
}

#[tokio::test]
async fn a_listed_balancer_is_believed_in_both_versions() {
    let world = behind("\"127.0.0.1\"").start().await;
    let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[9], &[0; 16], &[0x9c, 0x40, 1, 0xbb]].concat();
    for (header, client) in [
        (LINE.as_bytes().to_vec(), "203.0.113.9"),
        (b"PROXY TCP6 2001:db8::9 ::1 40000 443\r\n".to_vec(), "2001:db8::9"),
        (four(), "203.0.113.9"),
        (binary(0x21, 0x21, &six), "2001:db8::9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (binary(0x20, 0, &[]), "127.0.0.1"),
        (binary(0x21, 0, &[1, 2, 3]), "127.0.0.1"),
    ] {
        let lie = request(&world, "x-forwarded-for: 198.51.100.1\r\n");
        let answer = say(&world, &[header, lie].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(came_from(&world), client);
    }
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let world = behind("\"127.0.0.1\"").start().await;
    for header in [LINE.as_bytes().to_vec(), four()] {
        let mut stream = TcpStream::connect(world.gateway.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in [header, request(&world, "")].concat() {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = exchange(stream, b"").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(came_from(&world), "203.0.113.9");
    }
}

#[tokio::test]
async fn the_header_comes_before_tls() {
    let world = behind("\"127.0.0.1\"").tls().start().await;
    let connector = tokio_rustls::TlsConnector::from(world.tls());
    for header in [LINE.as_bytes().to_vec(), four()] {
        let mut stream = TcpStream::connect(world.gateway.address).await.unwrap();
        stream.write_all(&header).await.unwrap();
        let stream = soon("a handshake", connector.connect("localhost".try_into().unwrap(), stream)).await.unwrap();
        let answer = exchange(stream, request(&world, "")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(came_from(&world), "203.0.113.9");
    }
}

/// A stream whose first bytes go out behind `before`: all in one piece, or each by itself.
fn behind_bytes(mut stream: TcpStream, before: Vec<u8>, in_pieces: bool) -> DuplexStream {
    let (near, mut far) = duplex(64 * 1024);
    tokio::spawn(async move {
        let mut first = vec![0; 16 * 1024];
        let length = far.read(&mut first).await.unwrap();
        let all = [&before[..], &first[..length]].concat();
        for piece in all.chunks(if in_pieces { 1 } else { all.len() }) {
            // Whoever is refused is not listened to.
            if stream.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        _ = copy_bidirectional(&mut far, &mut stream).await;
    });
    near
}

/// Additions as balancers make them, and as they never do: a certificate that nobody showed, one that is longer than all.
fn lies() -> Vec<u8> {
    let shown = [&[0x20, 0, 18, 7, 0, 0, 0, 0, 0x22, 0, 10][..], b"ada@evil.x"].concat();
    let mut header = four();
    header.extend(shown);
    header.extend([0x02, 0xff, 0xff, b'x']);
    let length = u16::try_from(header.len() - 16).unwrap().to_be_bytes();
    header[14..16].copy_from_slice(&length);
    header
}

#[tokio::test]
async fn the_handshake_may_come_with_the_header_in_one_piece_or_in_any() {
    let world = behind("\"127.0.0.1\"").tls().start().await;
    let connector = tokio_rustls::TlsConnector::from(world.tls());
    for header in [LINE.as_bytes().to_vec(), four(), lies()] {
        for in_pieces in [false, true] {
            let stream = TcpStream::connect(world.gateway.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let stream = behind_bytes(stream, header.clone(), in_pieces);
            let stream = connector.connect("localhost".try_into().unwrap(), stream);
            let stream = soon("a handshake", stream).await.unwrap();
            let answer = exchange(stream, request(&world, "")).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            assert_eq!(came_from(&world), "203.0.113.9");
            assert!(!format!("{:?}", world.app.last()).contains("evil"));
        }
    }
}

#[tokio::test]
async fn a_handshake_behind_anything_but_one_header_fails() {
    let world = behind("\"127.0.0.1\"").tls().start().await;
    let connector = tokio_rustls::TlsConnector::from(world.tls());
    // One that says it is longer than it is takes what follows for its own.
    let mut greedy = four();
    greedy[15] += 50;
    let twice = |header: &[u8]| header.repeat(2);
    for before in [
        twice(LINE.as_bytes()),
        twice(&four()),
        [LINE.as_bytes(), &four()].concat(),
        [&b"\r\n"[..], LINE.as_bytes()].concat(),
        greedy,
        LINE.as_bytes()[..LINE.len() - 2].to_vec(),
        LINE.replace("\r\n", "\n").into_bytes(),
        Vec::new(),
    ] {
        for in_pieces in [false, true] {
            let stream = TcpStream::connect(world.gateway.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let stream = behind_bytes(stream, before.clone(), in_pieces);
            let stream = connector.connect("localhost".try_into().unwrap(), stream);
            assert!(soon("its failure", stream).await.is_err(), "{}", before.escape_ascii());
        }
    }
    assert_eq!(world.app.hits(), 0);
    let stream = behind_bytes(TcpStream::connect(world.gateway.address).await.unwrap(), four(), false);
    let stream = soon("a handshake", connector.connect("localhost".try_into().unwrap(), stream)).await.unwrap();
    assert!(exchange(stream, request(&world, "")).await.starts_with("HTTP/1.1 200 "), "it goes on");
}

#[tokio::test]
async fn a_stranger_who_sends_a_header_is_refused_and_never_believed() {
    for world in [behind("\"127.0.0.2\"").start().await, World::with().routes(PUBLIC).start().await] {
        for header in [LINE.as_bytes().to_vec(), four(), b"PROXY UNKNOWN\r\n".to_vec()] {
            let answer = say(&world, &[header, request(&world, "")].concat()).await;
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        }
        assert_eq!(world.app.hits(), 0);
        let answer = say(&world, &request(&world, "")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "whoever is not listed comes in plainly: {answer}");
        assert_eq!(came_from(&world), "127.0.0.1");
    }
    let secure = behind("\"127.0.0.2\"").tls().start().await;
    let answer = say(&secure, &[LINE.as_bytes(), &request(&secure, "")].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("This port speaks TLS"), "{answer}");
    until("a failed handshake", || async { event(&secure, "plain_text").await == 1 }).await;
    assert_eq!(secure.app.hits(), 0);
}

#[tokio::test]
async fn a_listed_balancer_without_a_whole_header_is_closed() {
    let world = behind("\"127.0.0.1\"").table("[limits]\nhandshake_timeout = \"300ms\"").start().await;
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
    let bad = [
        request(&world, ""),
        b"\x16\x03\x01\x00\x05hello".to_vec(),
        long.into_bytes(),
        b"PROXY TCP4 203.0.113.9 127.0.0.1 +40000 443\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.9 127.0.0.1 40000\r\n".to_vec(),
        binary(0x22, 0x11, &[0; 12]),
        binary(0x21, 0x11, &[0; 11]),
        binary(0x20, 0, &[0; 5000]),
    ];
    let count = bad.len() as u64;
    for header in bad {
        assert_eq!(say(&world, &[header, request(&world, "")].concat()).await, "");
    }
    until("their events", || async { event(&world, "proxy_header_failed").await == count }).await;
    for begun in [&b""[..], b"PROXY TCP4 203.0.113.9", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"] {
        let before = event(&world, "proxy_header_timeout").await;
        assert_eq!(say(&world, begun).await, "", "{begun:?}");
        until("its event", || async { event(&world, "proxy_header_timeout").await == before + 1 }).await;
    }
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn a_second_header_is_no_http() {
    let world = behind("\"127.0.0.1\"").start().await;
    for header in [LINE.as_bytes().to_vec(), four()] {
        let answer = say(&world, &[&header[..], &header[..], &request(&world, "")].concat()).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert_eq!(world.app.hits(), 0);
}

// A proxy for HTTP behind a balancer for TCP: the address that the balancer tells is the one that is trusted or not.
#[tokio::test]
async fn the_told_address_is_the_one_that_is_trusted() {
    let chain = "x-forwarded-for: 198.51.100.1\r\n";
    for (trusted, client) in [("203.0.113.0/24", "198.51.100.1, 203.0.113.9"), ("127.0.0.0/8", "203.0.113.9")] {
        let world = behind("\"127.0.0.1\"").top(&format!("trusted_proxies = [\"{trusted}\"]")).start().await;
        let answer = say(&world, &[LINE.as_bytes(), &request(&world, chain)].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(came_from(&world), client);
    }
}

#[tokio::test]
async fn a_balancer_may_come_by_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("front.sock");
    let listen = format!("[\"127.0.0.1:{{port}}\", {:?}]", format!("unix:{}", socket.display()));
    let world = behind("\"unix\"").listen(&listen).start().await;
    let stream = UnixStream::connect(&socket).await.unwrap();
    let answer = exchange(stream, [LINE.as_bytes(), &request(&world, "")].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(came_from(&world), "203.0.113.9");
    assert!(say(&world, &request(&world, "")).await.starts_with("HTTP/1.1 200 "), "not required of others");
}

async fn from(world: &World, ip: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{ip}:0").parse().unwrap()).unwrap();
    socket.connect(world.gateway.address).await.unwrap()
}

#[tokio::test]
async fn one_client_has_so_many_connections_and_others_theirs() {
    let limits = "[limits]\nconnections_per_client = 2";
    let world = World::with().routes(PUBLIC).table(limits).start().await;
    let held = [from(&world, "127.0.0.5").await, from(&world, "127.0.0.5").await];
    until("two connections", || async { world.metric("portcullis_connections").await == 2 }).await;
    let answer = exchange(from(&world, "127.0.0.5").await, request(&world, "")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(event(&world, "too_many_of_client").await, 1);
    let answer = exchange(from(&world, "127.0.0.6").await, request(&world, "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(held);
    until("a free place", || async {
        exchange(from(&world, "127.0.0.5").await, request(&world, "")).await.starts_with("HTTP/1.1 200 ")
    })
    .await;
}

#[tokio::test]
async fn who_speaks_for_many_is_not_counted_and_whom_they_tell_is() {
    let limits = "[limits]\nconnections_per_client = 1";
    let trusted = World::with().routes(PUBLIC).table(limits).top("trusted_proxies = [\"127.0.0.5\"]").start().await;
    let _held = [from(&trusted, "127.0.0.5").await, from(&trusted, "127.0.0.5").await];
    let answer = exchange(from(&trusted, "127.0.0.5").await, request(&trusted, "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let told = behind("\"127.0.0.0/8\"").table(limits).tls().start().await;
    let mut first = from(&told, "127.0.0.5").await;
    first.write_all(LINE.as_bytes()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(told.tls());
    let first = soon("a handshake", connector.connect("localhost".try_into().unwrap(), first)).await.unwrap();
    assert_eq!(exchange(from(&told, "127.0.0.6").await, LINE).await, "", "over TLS there is nothing to say");
    until("its event", || async { event(&told, "too_many_of_client").await == 1 }).await;
    drop(first);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_header() {
    let world = behind("\"127.0.0.1\"").start().await;
    let stream = TcpStream::connect(world.gateway.address).await.unwrap();
    until("its acceptance", || async { world.metric("portcullis_connections").await == 1 }).await;
    let began = std::time::Instant::now();
    soon("the end", world.gateway.shutdown()).await;
    assert!(began.elapsed() < Duration::from_secs(2));
    drop(stream);
}
