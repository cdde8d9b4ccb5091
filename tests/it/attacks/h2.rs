//! HTTP/2 games over TLS, in frames written by hand: what a well-behaved client library would never send.

use std::sync::Arc;

use tokio_rustls::client::TlsStream;

use super::*;

mod floods;

const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const RESET: u8 = 3;
const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) type Field<'a> = (&'a str, &'a [u8]);

/// Fields as HPACK literals without indexing or Huffman coding (RFC 7541 section 6.2.2).
pub(super) fn block(fields: &[Field<'_>]) -> Vec<u8> {
    fn text(out: &mut Vec<u8>, bytes: &[u8]) {
        if bytes.len() < 127 {
            out.push(bytes.len() as u8);
        } else {
            out.push(127);
            let mut rest = bytes.len() - 127;
            while rest >= 128 {
                out.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            out.push(rest as u8);
        }
        out.extend_from_slice(bytes);
    }
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        text(&mut out, name.as_bytes());
        text(&mut out, value);
    }
    out
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// What came of one connection.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Statuses by stream; 0 for one that could not be read.
    pub(super) statuses: Vec<(u32, u16)>,
    pub(super) resets: Vec<u32>,
    pub(super) gone: bool,
}

impl Outcome {
    pub(super) fn status(&self, stream: u32) -> Option<u16> {
        self.statuses.iter().find(|(theirs, _)| *theirs == stream).map(|(_, status)| *status)
    }
}

/// The status at the beginning of an answer's header block.
fn status_of(block: &[u8]) -> u16 {
    let block = match block {
        // A change of the table's size may come first.
        [first, rest @ ..] if first & 0xe0 == 0x20 => rest,
        all => all,
    };
    match block {
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8b, ..] => 304,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        [0x08 | 0x48, length, rest @ ..] => {
            let huffman = length & 0x80 != 0;
            let bytes = &rest[..usize::from(length & 0x7f)];
            if !huffman {
                return std::str::from_utf8(bytes).unwrap().parse().unwrap();
            }
            let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
            let mut rest = &*bits;
            let mut status = 0;
            for _ in 0..3 {
                let (digit, used) = match &rest[..5] {
                    "00000" => (0, 5),
                    "00001" => (1, 5),
                    "00010" => (2, 5),
                    _ => (u16::from_str_radix(&rest[..6], 2).unwrap() - 0b01_1001 + 3, 6),
                };
                status = status * 10 + digit;
                rest = &rest[used..];
            }
            status
        }
        _ => 0,
    }
}

async fn connect(world: &World) -> TlsStream<TcpStream> {
    let mut config = rustls::ClientConfig::clone(&world.tls());
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(world.gateway.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend(frame(SETTINGS, 0, 0, &[]));
    stream.write_all(&hello).await.unwrap();
    stream
}

/// Sends frames and reads until the other side closes or falls silent.
pub(super) async fn play(world: &World, frames: &[u8]) -> Outcome {
    exchange(world, frames, SILENCE).await
}

async fn exchange(world: &World, frames: &[u8], silence: Duration) -> Outcome {
    let mut stream = connect(world).await;
    _ = stream.write_all(frames).await;
    let mut outcome = Outcome::default();
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let answered = !outcome.statuses.is_empty() || !outcome.resets.is_empty() || outcome.gone;
        let patience = if answered { silence } else { Duration::from_secs(1) };
        match tokio::time::timeout(patience, stream.read(&mut chunk)).await {
            Ok(Ok(0) | Err(_)) => {
                outcome.gone = true;
                return outcome;
            }
            Ok(Ok(read)) => bytes.extend_from_slice(&chunk[..read]),
            Err(_) => return outcome,
        }
        while bytes.len() >= 9 {
            let length = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
            if bytes.len() < 9 + length {
                break;
            }
            let whole: Vec<u8> = bytes.drain(..9 + length).collect();
            let stream = u32::from_be_bytes([whole[5], whole[6], whole[7], whole[8]]);
            match whole[3] {
                HEADERS => outcome.statuses.push((stream, status_of(&whole[9..]))),
                RESET => outcome.resets.push(stream),
                GOAWAY => outcome.gone = true,
                _ => {}
            }
        }
    }
}

/// The four pseudo fields of an ordinary request.
pub(super) fn ordinary<'a>(authority: &'a str, path: &'a str) -> Vec<Field<'a>> {
    vec![(":method", b"GET"), (":scheme", b"https"), (":authority", authority.as_bytes()), (":path", path.as_bytes())]
}

async fn secure() -> World {
    World::with().tls().routes(TWO_ROUTES).start().await
}

/// Each list of fields is one request on a connection of its own; none may be answered with 2xx or reach the app.
async fn refused(world: &World, requests: &[Vec<Field<'_>>]) {
    for fields in requests {
        let frames = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(fields));
        let outcome = exchange(world, &frames, Duration::from_millis(1)).await;
        let status = outcome.status(1);
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{status:?}: {fields:?}");
        assert!(status.is_some() || outcome.gone || outcome.resets == [1], "no answer: {fields:?}");
    }
    assert_eq!(world.app.hits(), 0, "{:?}", world.app.everything());
}

#[tokio::test]
async fn an_ordinary_h2_request_is_served() {
    let world = secure().await;
    let authority = host(&world);
    let outcome =
        play(&world, &frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&ordinary(&authority, "/pub/x")))).await;
    assert_eq!(outcome.status(1), Some(200), "{outcome:?}");
    let outcome =
        play(&world, &frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&ordinary(&authority, "/secret")))).await;
    assert_eq!(outcome.status(1), Some(401), "{outcome:?}");
    let seen = world.app.last();
    assert_eq!((seen.one("host").unwrap(), seen.target.as_str()), (authority, "/pub/x"));
    still_standing(&world).await;
}

// RFC 9113 sections 8.2.1 to 8.3.1
#[tokio::test]
async fn malformed_h2_fields_are_refused() {
    let world = secure().await;
    let authority = host(&world);
    let with = |name: &'static str, value: &'static [u8]| {
        let mut fields = ordinary(&authority, "/pub/x");
        fields.push((name, value));
        fields
    };
    let mut requests = vec![
        with("connection", b"close"),
        with("connection", b"x-salesforce-user-id"),
        with("keep-alive", b"5"),
        with("proxy-connection", b"close"),
        with("transfer-encoding", b"chunked"),
        with("upgrade", b"websocket"),
        with("te", b"gzip"),
        with("X-Upper", b"a"),
        with("x y", b"a"),
        with("x:y", b"a"),
        with("x\r\nhost", b"a"),
        with("", b"a"),
        with("x", b"a\r\nx-salesforce-user-id: evil-identity"),
        with("x", b"a\nb"),
        with("x", b"a\0b"),
        with(":path", b"/pub/y"),
        with(":method", b"POST"),
        with(":authority", b"evil.example"),
        with(":scheme", b"http"),
        with(":status", b"200"),
        with(":evil", b"1"),
        with(":protocol", b"websocket"),
        with("host", b"evil.example"),
        with("content-length", b"5"),
        with("content-length", b"-1"),
    ];
    let late = vec![
        (":method", &b"GET"[..]),
        (":scheme", b"https"),
        (":path", b"/pub/x"),
        ("x", b"a"),
        (":authority", b"localhost"),
    ];
    requests.push(late);
    requests.push(vec![(":method", b"GET"), (":scheme", b"https"), (":path", b"/pub/x")]);
    requests.push(vec![(":method", b"GET"), (":scheme", b"https"), (":authority", authority.as_bytes())]);
    requests.push(vec![(":scheme", b"https"), (":authority", authority.as_bytes()), (":path", b"/pub/x")]);
    requests.push(vec![(":method", b"CONNECT"), (":authority", authority.as_bytes())]);
    requests.push(vec![
        (":method", b"CONNECT"),
        (":protocol", b"websocket"),
        (":scheme", b"https"),
        (":authority", authority.as_bytes()),
        (":path", b"/pub/x"),
    ]);
    refused(&world, &requests).await;
    still_standing(&world).await;
}

#[tokio::test]
async fn odd_h2_targets_and_hosts_are_refused() {
    let world = secure().await;
    let authority = host(&world);
    let mut requests = Vec::new();
    for path in [
        "",
        "*",
        "pub/x",
        "/pub/x y",
        "/pub/\r\nx-salesforce-user-id: evil-identity",
        "/pub/\0",
        "/pub/../secret",
        "/pub/%2e%2e/secret",
        "/secret#/pub",
        "/secret?/pub",
        "//evil.example/pub",
        "https://evil.example/pub",
        "/pub/\\..\\secret",
        "/pub/\u{e9}",
        "/pub/%c0%ae%c0%ae/secret",
        "/pub\tx HTTP/1.1",
    ] {
        requests.push(ordinary(&authority, path));
    }
    let at = format!("evil@{authority}");
    let doubled = format!("{authority},evil.example");
    let slashed = format!("{authority}/pub");
    for other in ["evil.example", "", "localhost", &at, &doubled, &slashed] {
        requests.push(ordinary(other, "/pub/x"));
    }
    let mut both = ordinary("evil.example", "/pub/x");
    both.push(("host", authority.as_bytes()));
    requests.push(both);
    let mut twice = ordinary(&authority, "/pub/x");
    twice.extend([("host", authority.as_bytes()), ("host", authority.as_bytes())]);
    requests.push(twice);
    let mut unlike = ordinary(&authority, "/pub/x");
    unlike.push(("host", b"localhost"));
    requests.push(unlike);
    refused(&world, &requests).await;
    still_standing(&world).await;
}

// T-HDR-1 and T-HDR-9 over HTTP/2
#[tokio::test]
async fn an_identity_in_h2_fields_or_trailers_is_nobodys() {
    let world = secure().await;
    let authority = host(&world);
    let cookie = session_of(&world).await;
    let (name, id) = cookie.split_once('=').unwrap();
    let spelled = [
        "x-salesforce-user-id",
        "x_salesforce_user_id",
        "x.forwarded.user",
        "x-forwarded-groups",
        "remote-user",
        "x-forwarded-for",
        "forwarded",
        "x-auth-request-user",
    ];
    // One cookie in crumbs beside others, as RFC 9113 section 8.2.3 allows.
    let crumb = format!("{name}={id}");
    let mut fields = ordinary(&authority, "/closed");
    fields[0].1 = b"POST";
    fields.extend([
        ("cookie", &b"a=1"[..]),
        ("cookie", crumb.as_bytes()),
        ("cookie", b"b=2"),
        ("trailer", b"x-sum, x-salesforce-user-id"),
        ("te", b"trailers"),
    ]);
    fields.extend(spelled.map(|name| (name, &b"evil-identity"[..])));
    let trailers: Vec<Field<'_>> =
        spelled.iter().map(|name| (*name, &b"evil-identity"[..])).chain([("x-sum", &b"1"[..])]).collect();
    let mut frames = frame(HEADERS, END_HEADERS, 1, &block(&fields));
    frames.extend(frame(DATA, 0, 1, b"hello"));
    frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&trailers)));
    let outcome = play(&world, &frames).await;
    assert_eq!(outcome.status(1), Some(200), "{outcome:?}");
    let seen = world.app.last();
    assert_eq!((seen.one("cookie").as_deref(), &seen.body[..]), (Some("a=1; b=2"), &b"hello"[..]));
    assert_eq!(seen.one("x-salesforce-user-id").unwrap(), people::STANDARD.user);
    assert!(!format!("{seen:?}").contains("evil-identity"), "{seen:?}");
    still_standing(&world).await;
}

// RFC 9113 section 8.1.1: a body of another length than was said never reaches the app as whole.
#[tokio::test]
async fn an_h2_body_of_another_length_is_refused() {
    let world = secure().await;
    let authority = host(&world);
    for (said, body) in
        [(&b"3"[..], &b"helloGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"[..]), (b"500", b"hello"), (b"0", b"hello")]
    {
        let mut fields = ordinary(&authority, "/pub/x");
        fields[0].1 = b"POST";
        fields.push(("content-length", said));
        let mut frames = frame(HEADERS, END_HEADERS, 1, &block(&fields));
        frames.extend(frame(DATA, END_STREAM, 1, body));
        let outcome = play(&world, &frames).await;
        assert!(outcome.status(1).is_none_or(|status| status >= 400), "{outcome:?}");
    }
    assert!(world.app.everything().iter().all(|seen| seen.body.is_empty()), "{:?}", world.app.everything());
    still_standing(&world).await;
}

// CVE-2023-44487 was felt by the apps: each request that was taken back had been passed on by then.
#[tokio::test]
async fn a_rapid_reset_is_no_flood_for_the_app() {
    let world = secure().await;
    let authority = host(&world);
    let fields = block(&ordinary(&authority, "/pub/x"));
    let mut frames = Vec::new();
    for stream in (1..6000).step_by(2) {
        frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields));
        frames.extend(frame(RESET, 0, stream, &[0, 0, 0, 8]));
    }
    let outcome = play(&world, &frames).await;
    assert!(outcome.gone, "{outcome:?}");
    assert!(world.app.hits() <= 200, "{}", world.app.hits());
    still_standing(&world).await;
}
