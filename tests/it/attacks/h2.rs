//! HTTP/2 games over TLS, in frames written by hand: what a well-behaved client library would never send.

use std::sync::Arc;

use tokio_rustls::client::TlsStream;

use super::*;

mod ages;
mod floods;
mod malformed;

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
const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// Errors (RFC 9113 section 7).
pub(super) const PROTOCOL_ERROR: u32 = 1;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

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
    /// Streams that were reset, and the error that was named.
    pub(super) resets: Vec<(u32, u32)>,
    /// The errors that the connection was given up with.
    pub(super) goaways: Vec<u32>,
    /// How many pings were answered.
    pongs: usize,
    pub(super) closed: bool,
    /// What came of a frame that is not whole yet.
    begun: Vec<u8>,
}

impl Outcome {
    pub(super) fn status(&self, stream: u32) -> Option<u16> {
        self.statuses.iter().find(|(theirs, _)| *theirs == stream).map(|(_, status)| *status)
    }

    /// Reads what comes next.
    async fn read(&mut self, stream: &mut TlsStream<TcpStream>) {
        let mut chunk = vec![0; 64 * 1024];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => self.closed = true,
            Ok(read) => self.begun.extend_from_slice(&chunk[..read]),
        }
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
        while self.begun.len() >= 9 {
            let length = number(&[&[0], &self.begun[..3]].concat()) as usize;
            if self.begun.len() < 9 + length {
                break;
            }
            let whole: Vec<u8> = self.begun.drain(..9 + length).collect();
            let (stream, payload) = (number(&whole[5..9]), &whole[9..]);
            match whole[3] {
                HEADERS => self.statuses.push((stream, status_of(payload))),
                RESET => self.resets.push((stream, number(payload))),
                GOAWAY => self.goaways.push(number(&payload[4..])),
                PING if whole[4] == ACK => self.pongs += 1,
                _ => {}
            }
        }
    }
}

/// The status at the beginning of an answer's header block.
fn status_of(mut block: &[u8]) -> u16 {
    // Changes of the table's size may come first, in one byte or in several (RFC 7541 section 5.1).
    while let [first, rest @ ..] = block
        && first & 0xe0 == 0x20
    {
        let more = rest.iter().take_while(|byte| **byte >= 128).count() + 1;
        block = if first & 0x1f == 0x1f { &rest[more..] } else { rest };
    }
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
    greet(TcpStream::connect(world.gateway.address).await.unwrap(), &world.tls()).await
}

/// Begins to speak HTTP/2 with whom `trust` believes.
async fn greet(stream: TcpStream, trust: &rustls::ClientConfig) -> TlsStream<TcpStream> {
    let mut config = rustls::ClientConfig::clone(trust);
    config.alpn_protocols = vec![b"h2".to_vec()];
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
    while !outcome.closed {
        let answered = !outcome.statuses.is_empty() || !outcome.resets.is_empty();
        let patience = if answered && outcome.goaways.is_empty() { silence } else { Duration::from_secs(5) };
        if tokio::time::timeout(patience, outcome.read(&mut stream)).await.is_err() {
            break;
        }
    }
    outcome
}

/// The four pseudo fields of an ordinary request.
pub(super) fn ordinary<'a>(authority: &'a str, path: &'a str) -> Vec<Field<'a>> {
    vec![(":method", b"GET"), (":scheme", b"https"), (":authority", authority.as_bytes()), (":path", path.as_bytes())]
}

async fn secure() -> World {
    World::with().tls().routes(TWO_ROUTES).start().await
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
    assert_eq!((&outcome.goaways[..], outcome.closed), (&[ENHANCE_YOUR_CALM][..], true), "{outcome:?}");
    assert!(world.app.hits() <= 200, "{}", world.app.hits());
    still_standing(&world).await;
}
