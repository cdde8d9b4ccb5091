//! What is taken for a plain request and how it is answered, over a pipe whose other end plays a client.

use std::future::poll_fn;
use std::sync::Mutex;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::{HeaderMap, Method, Uri, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::http::{BodyError, Request, text};

mod answers;
mod differential;

const BOUNDS: Bounds = Bounds { size: 8 * 1024, fields: 100 };

/// What a request says to a handler.
type Said = (Method, Uri, Version, HeaderMap);

/// Where a request ends, from the length of its head.
type Counted = fn(u64) -> End;

/// What came of a connection.
#[derive(Debug)]
struct Served {
    said: Vec<Said>,
    wire: String,
    turns: Vec<Turn>,
}

fn said(request: &hyper::Request<impl Sized>) -> Said {
    (request.method().clone(), request.uri().clone(), request.version(), request.headers().clone())
}

/// Takes the moment out of what was written.
fn without_dates(wire: &[u8]) -> String {
    let text: String = wire.iter().map(|byte| char::from(*byte)).collect();
    let mut lines: Vec<&str> = text.split("\r\n").collect();
    for line in &mut lines {
        if line.starts_with("date: ") && line.ends_with(" GMT") {
            *line = "date: now";
        }
    }
    lines.join("\r\n")
}

/// A connection: its server's end, and where its client writes so much at once, and reads.
fn pipe(size: usize) -> (tokio::io::Join<DuplexStream, DuplexStream>, DuplexStream, DuplexStream) {
    let (from_client, writer) = duplex(size);
    let (to_client, reader) = duplex(1024 * 1024);
    (tokio::io::join(from_client, to_client), writer, reader)
}

/// Serves a connection over which these pieces come, each read before the next is written, and then no more.
async fn serve(pieces: &[&[u8]], bounds: Bounds, answer: impl Fn(&Request) -> Response) -> Served {
    let longest = pieces.iter().map(|piece| piece.len()).max().unwrap_or(0).max(1);
    let (near, mut writer, mut reader) = pipe(longest);
    let heard = Mutex::new(Vec::new());
    let ask = |arrival: Arrival, _| {
        let request = arrival.into_request();
        assert!(matches!(request.body(), Body::Empty));
        heard.lock().unwrap().push(said(&request));
        Box::pin(std::future::ready(answer(&request)))
    };
    let us = async {
        let activity = Arc::new(Activity::new());
        let mut lean = Lean::new(Fenced::new(near));
        let mut turns = Vec::new();
        loop {
            turns.push(poll_fn(|cx| lean.poll(cx, bounds, &activity, ask)).await);
            if !matches!(turns.last(), Some(Turn::Refused(_))) {
                return turns;
            }
        }
    };
    let client = async {
        for piece in pieces {
            let _ = writer.write_all(piece).await;
            tokio::task::yield_now().await;
        }
        drop(writer);
    };
    let mut wire = Vec::new();
    let (turns, (), _) = tokio::join!(us, client, reader.read_to_end(&mut wire));
    Served { said: heard.into_inner().unwrap(), wire: without_dates(&wire), turns }
}

fn hello(_: &Request) -> Response {
    text(StatusCode::OK, "hello")
}

fn streamed(frames: Vec<Result<http_body::Frame<Bytes>, BodyError>>) -> Response {
    Response::new(Body::streamed(http_body_util::StreamBody::new(futures_util::stream::iter(frames))))
}

async fn refused(violation: Violation, heads: &[&str]) {
    for head in heads {
        // Also behind a request that is none of its business.
        for before in ["", "GET /first HTTP/1.1\r\n\r\n"] {
            let wire = format!("{before}{head}");
            let served = serve(&[wire.as_bytes()], BOUNDS, hello).await;
            assert_eq!(served.said.len(), usize::from(!before.is_empty()), "{head:?}");
            let [Turn::Refused(found), Turn::Answered] = &served.turns[..] else {
                panic!("{head:?}: {:?}", served.turns)
            };
            assert_eq!(*found, violation, "{head:?}");
            let status = violation.status();
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n");
            assert!(served.wire.ends_with(&answer), "{head:?}: {}", served.wire);
        }
    }
}

#[tokio::test]
async fn requests_are_answered_in_their_order_wherever_they_are_cut() {
    let wire: &[u8] = b"GET /one?a=b HTTP/1.1\r\nHost: a\r\nX-Two: 1\r\nx-two:\t2 \r\n\r\n\r\n\
        OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nDELETE http://b/three HTTP/1.1\r\nHost: a\r\n\r\n";
    let check = |served: Served| {
        let targets: Vec<String> = served.said.iter().map(|(method, uri, ..)| format!("{method} {uri}")).collect();
        assert_eq!(targets, ["GET /one?a=b", "OPTIONS *", "DELETE http://b/three"]);
        assert_eq!(served.said[0].3.get_all("x-two").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(served.wire.matches("\r\n\r\nhello").count(), 3, "{}", served.wire);
        assert!(matches!(served.turns[..], [Turn::Ended]), "{:?}", served.turns);
    };
    for cut in 0..wire.len() {
        let (first, second) = wire.split_at(cut);
        check(serve(&[first, second], BOUNDS, hello).await);
    }
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    check(serve(&bytes, BOUNDS, hello).await);
}

#[tokio::test]
async fn an_answer_is_written_as_hyper_writes_it() {
    let served = serve(&[b"GET / HTTP/1.1\r\n\r\n"], BOUNDS, hello).await;
    assert_eq!(
        served.wire,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n\
         content-length: 5\r\ndate: now\r\n\r\nhello"
    );
}

#[tokio::test]
async fn a_request_that_is_more_than_a_head_is_hypers_and_so_is_a_doubtful_one() {
    let foreign = async |head: &str, end: Counted| {
        let wire = format!("GET /first HTTP/1.1\r\n\r\n\r\n{head}\r\nGET /behind HTTP/1.1\r\n\r\n");
        let served = serve(&[wire.as_bytes()], BOUNDS, hello).await;
        assert_eq!(served.said.len(), 1, "{head:?}");
        let [Turn::Foreign(found)] = served.turns[..] else { panic!("{head:?}: {:?}", served.turns) };
        assert_eq!(found, end((head.len() + 2) as u64), "{head:?}");
    };
    let fields: &[(&str, Counted)] = &[
        ("Content-Length: 5\r\n", |head| End::After(head + 5)),
        ("Content-Length: 00\r\n", End::After),
        ("content-length:\t005 \r\n", |head| End::After(head + 5)),
        ("Transfer-Encoding: chunked\r\n", End::Chunks),
        ("Transfer-Encoding:CHUNKED \r\n", End::Chunks),
        ("Upgrade: websocket\r\nConnection: upgrade\r\n", End::After),
        ("Expect: 100-continue\r\n", End::After),
        ("eXpect: anything\r\nContent-Length: 7\r\n", |head| End::After(head + 7)),
    ];
    for (fields, end) in fields {
        foreign(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}"), *end).await;
    }
    foreign("GET / HTTP/1.0\r\nHost: a\r\n", End::After).await;
    foreign("POST / HTTP/1.0\r\nContent-Length: 5\r\n", |head| End::After(head + 5)).await;
    foreign("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n", End::Unknown).await;
    foreign("CONNECT a:1 HTTP/1.1\r\nContent-Length: 5\r\n", End::Unknown).await;
}

#[tokio::test]
async fn a_request_that_could_end_in_two_places_is_refused() {
    const LENGTHS: &[&str] = &["0", "5", "x"];
    const CODINGS: &[&str] = &["chunked", "gzip, chunked", "identity", ""];
    let with = async |violation: Violation, fields: &str| {
        for line in ["POST / HTTP/1.1", "GET / HTTP/1.1", "CONNECT a:1 HTTP/1.1", "POST / HTTP/1.0"] {
            // Beside what makes a request hyper's, and alone.
            for more in ["", "Expect: 100-continue\r\n", "Upgrade: x\r\n"] {
                let head = format!("{line}\r\nHost: a\r\n{more}{fields}\r\nGET /behind HTTP/1.1\r\n\r\n");
                refused(violation, &[&head]).await;
            }
        }
    };
    for length in LENGTHS {
        for coding in CODINGS {
            let (length, coding) = (format!("Content-Length: {length}\r\n"), format!("transfer-encoding:{coding}\r\n"));
            with(Violation::LengthAndCoding, &format!("{length}{coding}")).await;
            with(Violation::LengthAndCoding, &format!("{coding}X: y\r\n{length}")).await;
        }
        for other in LENGTHS {
            let twice = format!("Content-Length: {length}\r\ncontent-length:{other}\r\n");
            with(Violation::RepeatedLength, &twice).await;
        }
    }
    for length in ["+5", "-0", "", "0, 0", "5,5", "0x5", "5 5", "5;", "1e1", "\u{b2}", "18446744073709551615"] {
        with(Violation::Length, &format!("Content-Length: {length}\r\n")).await;
    }
    for coding in ["", "identity", "gzip", "gzip, chunked", "chunked, chunked", "chunked,", "chunked;x=1", "xchunked"] {
        with(Violation::Coding, &format!("Transfer-Encoding: {coding}\r\n")).await;
    }
    with(Violation::Coding, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n").await;
    with(Violation::Coding, "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n").await;
    refused(Violation::Coding, &["POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]).await;
}

#[tokio::test]
async fn a_line_that_ends_with_a_line_feed_alone_is_refused_wherever_it_is() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: y\r\n\r\n";
    for (at, _) in head.match_indices("\r\n") {
        let bare = format!("{}{}", &head[..at], &head[at + 1..]);
        refused(Violation::LineEnd, &[&bare]).await;
        let bytes: Vec<&[u8]> = bare.as_bytes().chunks(1).collect();
        let served = serve(&bytes, BOUNDS, hello).await;
        assert!(matches!(served.turns[..], [Turn::Refused(Violation::LineEnd), Turn::Answered]), "{bare:?}");
    }
    refused(Violation::LineEnd, &["\nGET / HTTP/1.1\r\n\r\n", "\r\n\nGET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\n\n"])
        .await;
}

#[tokio::test]
async fn what_is_no_head_is_refused() {
    use httparse::Error;
    let with = |line: &str| format!("GET / HTTP/1.1\r\n{line}\r\n\r\n");
    for line in ["X : a", "X\0: a", ": a", "X Y: a", "no colon", "X(: a", "\u{7f}: a", " X: a", "\tX: a", "é: a"] {
        refused(Violation::Malformed(Error::HeaderName), &[&with(line)]).await;
    }
    for line in ["X: \0", "X: a\rb", "X: a\r\r", "X: \u{7f}", "X: \u{1}"] {
        refused(Violation::Malformed(Error::HeaderValue), &[&with(line)]).await;
    }
    for folded in ["X: a\r\n b", "X: a\r\n\tb: c"] {
        refused(Violation::Malformed(Error::HeaderName), &[&with(folded)]).await;
    }
    refused(Violation::Malformed(Error::Version), &["GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.2\r\n\r\n"]).await;
    refused(Violation::Malformed(Error::Version), &["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /  HTTP/1.1\r\n\r\n"])
        .await;
    refused(
        Violation::Malformed(Error::Token),
        &["\x16\x03\x01", "GET /\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "GET /\x7f HTTP/1.1\r\n\r\n"],
    )
    .await;
    refused(Violation::Malformed(Error::NewLine), &["\rGET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\rX\r\n\r\n"]).await;
    refused(Violation::Target, &["GET a/b HTTP/1.1\r\n\r\n", "GET http:// HTTP/1.1\r\n\r\n"]).await;
}

#[tokio::test]
async fn a_head_is_refused_beyond_its_size_and_its_fields() {
    let long = |length: usize| format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(length));
    let most = BOUNDS.size - long(0).len();
    assert_eq!(serve(&[long(most).as_bytes()], BOUNDS, hello).await.said.len(), 1);
    refused(Violation::TooLarge, &[&long(most + 1), &long(10 * BOUNDS.size), &"\r\n".repeat(BOUNDS.size)]).await;
    for fields in [3, 100, 200] {
        let bounds = Bounds { size: 64 * 1024, fields };
        let many = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert_eq!(serve(&[many(fields).as_bytes()], bounds, hello).await.said[0].3.len(), fields);
        let served = serve(&[many(fields + 1).as_bytes()], bounds, hello).await;
        assert!(matches!(served.turns[..], [Turn::Refused(Violation::TooLarge), Turn::Answered]), "{fields}");
    }
    let bounds = Bounds { size: 128 * 1024, fields: 1 };
    let served = serve(&[format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)).as_bytes()], bounds, hello).await;
    assert!(matches!(served.turns[..], [Turn::Refused(Violation::TargetTooLong), Turn::Answered]));
    assert!(served.wire.starts_with("HTTP/1.1 414 "), "{}", served.wire);
}

#[test]
fn a_head_that_trickles_in_is_looked_at_once_it_may_be_whole() {
    let head = format!("GET / HTTP/1.1\r\n{}\r\n", "X-Field: value\r\n".repeat(50));
    let looks = (1..head.len()).filter(|at| head::may_be_whole(&head.as_bytes()[..*at + 1], *at, BOUNDS)).count();
    assert_eq!(looks, 1);
    let empty = "\r\n".repeat(10);
    assert!(
        !(3..empty.len())
            .any(|at| !head::may_be_whole(&empty.as_bytes()[..at + 1], at, BOUNDS) && at % 2 == 1 && at < 3)
    );
}

#[tokio::test]
async fn a_client_that_wants_to_close_is_answered_so() {
    for line in ["close", "Close", "keep-alive, close", "x , CLOSE ,", "keep-alive\r\nConnection: close"] {
        let wire = format!("GET / HTTP/1.1\r\nConnection: {line}\r\n\r\nGET /behind HTTP/1.1\r\n\r\n");
        let served = serve(&[wire.as_bytes()], BOUNDS, hello).await;
        assert_eq!(served.said.len(), 1, "{line}");
        assert!(served.wire.contains("connection: close\r\n"), "{line}: {}", served.wire);
    }
}

#[tokio::test]
async fn one_that_is_asked_to_end_ends_between_two_requests() {
    async fn begun(bytes: &[u8]) -> (Lean<DuplexStream, std::future::Ready<Response>>, DuplexStream) {
        let (near, mut far) = duplex(4096);
        far.write_all(bytes).await.unwrap();
        let mut lean = Lean::new(Fenced::new(near));
        poll_fn(|cx| {
            assert!(lean.poll(cx, BOUNDS, &Arc::new(Activity::new()), |_, _| unreachable!()).is_pending());
            Poll::Ready(())
        })
        .await;
        lean.end();
        (lean, far)
    }
    let activity = Arc::new(Activity::new());
    for bytes in [&b""[..], b"\r\n"] {
        let (mut lean, mut far) = begun(bytes).await;
        let turn = poll_fn(|cx| lean.poll(cx, BOUNDS, &activity, |_, _| unreachable!())).await;
        assert!(matches!(turn, Turn::Ended));
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"");
    }
    // Half a head is waited for, and answered.
    let (mut lean, mut far) = begun(b"GET / HT").await;
    far.write_all(b"TP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n").await.unwrap();
    let ask = |arrival: Arrival, _| Box::pin(std::future::ready(hello(&arrival.into_request())));
    assert!(matches!(poll_fn(|cx| lean.poll(cx, BOUNDS, &activity, ask)).await, Turn::Answered));
    let mut all = String::new();
    far.read_to_string(&mut all).await.unwrap();
    assert!(
        all.contains("connection: close") && all.ends_with("hello") && all.matches("HTTP/1.1").count() == 1,
        "{all}"
    );
}
