//! What an exchange takes and what it refuses, over a pipe whose other end plays an app.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;
use crate::http;

mod differential;
mod doubtful;
mod lasting;

/// What came of an exchange.
#[derive(Debug)]
struct Heard {
    status: StatusCode,
    headers: HeaderMap,
    body: Result<Bytes, String>,
    trailers: Option<HeaderMap>,
    kept: Option<Box<Connection<DuplexStream>>>,
}

impl std::fmt::Debug for Connection<DuplexStream> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

fn request(method: Method) -> Outgoing<'static> {
    whole(method).into()
}

fn whole(method: Method) -> http::Request {
    let mut request = http::Request::new(http::Body::Empty);
    *request.method_mut() = method;
    *request.uri_mut() = "/path?query=1".parse().unwrap();
    request.headers_mut().insert("host", HeaderValue::from_static("app.example"));
    request.headers_mut().append("x-two", HeaderValue::from_static("one"));
    request.headers_mut().append("x-two", HeaderValue::from_bytes(b"t\xffo").unwrap());
    request
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Reads a request's head.
async fn read_head(io: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match io.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    head.iter().map(|byte| char::from(*byte)).collect()
}

/// What stands between the pieces of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The app closes the connection.
    Close,
    /// It does not.
    Open,
}

async fn finish(answer: Answer<DuplexStream>) -> Heard {
    let (body, trailers, kept) = match answer.body {
        Body::Whole(bytes, kept) => (Ok(bytes), None, kept),
        Body::Streamed(mut incoming) => match (&mut incoming).collect().await {
            Ok(collected) => {
                let trailers = collected.trailers().cloned();
                (Ok(collected.to_bytes()), trailers, incoming.release())
            }
            Err(error) => (Err(error.to_string()), None, incoming.release()),
        },
    };
    Heard { status: answer.status, headers: answer.lines.map(), body, trailers, kept }
}

/// Asks an app that answers with these pieces, each of which is read before the next is written.
async fn ask(method: Method, pieces: &[&[u8]], end: End) -> Result<Heard, Fault> {
    let longest = pieces.iter().map(|piece| piece.len()).max().unwrap_or(0).max(1);
    let (ours, mut theirs) = duplex(longest);
    let app = async {
        read_head(&mut theirs).await;
        for piece in pieces {
            if theirs.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        match end {
            End::Close => None,
            End::Open => Some(theirs),
        }
    };
    let us = async {
        let mut request = request(method);
        match Connection::new(ours).exchange(&mut request, soon()).await {
            Ok(answer) => Ok(finish(answer).await),
            Err(fault) => Err(fault),
        }
    };
    tokio::select! {
        biased;
        heard = us => heard,
        _ = async { let _open = app.await; std::future::pending::<()>().await } => unreachable!(),
    }
}

async fn get(answer: impl AsRef<[u8]>) -> Result<Heard, Fault> {
    ask(Method::GET, &[answer.as_ref()], End::Open).await
}

/// Each of these is refused, for this reason, whatever was asked.
async fn refused(violation: Violation, answers: &[&str]) {
    for answer in answers {
        for method in [Method::GET, Method::HEAD] {
            match ask(method, &[answer.as_bytes()], End::Open).await {
                Err(Fault::Misbehaved(found)) => assert_eq!(found, violation, "{answer:?}"),
                other => panic!("{answer:?}: {other:?}"),
            }
        }
    }
}

/// Each of these bodies is broken off, for this reason, and its connection closed.
async fn broken_off(violation: Violation, bodies: &[&str]) {
    for body in bodies {
        let heard = get(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}")).await.unwrap();
        assert_eq!(heard.body, Err(violation.to_string()), "{body:?}");
        assert!(heard.kept.is_none(), "{body:?}");
    }
}

#[tokio::test]
async fn a_request_is_written_as_it_is() {
    let (ours, mut theirs) = duplex(4096);
    let mut request = request(Method::from_bytes(b"PROPFIND").unwrap());
    let (_, head) = tokio::join!(async { Connection::new(ours).exchange(&mut request, soon()).await.err() }, async {
        let head = read_head(&mut theirs).await;
        drop(theirs);
        head
    },);
    assert_eq!(head, "PROPFIND /path?query=1 HTTP/1.1\r\nhost: app.example\r\nx-two: one\r\nx-two: t\u{ff}o\r\n\r\n");
}

#[test]
fn only_a_request_that_is_nothing_but_a_head_is_plain() {
    let with = |name: &'static str, value: &'static str| {
        let mut request = whole(Method::POST);
        request.headers_mut().append(name, HeaderValue::from_static(value));
        Outgoing::from(request)
    };
    assert!(request(Method::DELETE).is_plain());
    assert!(with("content-length", "0").is_plain());
    for (name, value) in [
        ("content-length", "5"),
        ("content-length", "00"),
        ("content-length", ""),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
    ] {
        assert!(!with(name, value).is_plain(), "{name}: {value}");
    }
    assert!(!request(Method::CONNECT).is_plain());
    let mut full = whole(Method::POST);
    *full.body_mut() = http::Body::Full(Bytes::from_static(b"x"));
    assert!(!Outgoing::from(full).is_plain());
}

#[tokio::test]
async fn an_answer_with_a_length_is_at_hand_and_its_connection_used_again() {
    let heard = get("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhello").await.unwrap();
    assert_eq!((heard.status, heard.body), (StatusCode::OK, Ok(Bytes::from_static(b"hello"))));
    assert_eq!(heard.headers.get("x-a").unwrap(), "b");
    assert!(heard.kept.is_some());
}

#[tokio::test]
async fn pieces_make_no_difference_wherever_they_are_cut() {
    let answer: &[u8] =
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;a=b\r\nhello\r\n006\r\n world\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n";
    let check = |heard: Heard| {
        assert_eq!((heard.status, heard.body.unwrap()), (StatusCode::OK, Bytes::from_static(b"hello world")));
        assert!(heard.headers.get("link").is_none(), "an interim answer's fields are not the answer's");
        assert_eq!(heard.trailers.unwrap().get_all("x-sum").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert!(heard.kept.is_some());
    };
    for cut in 0..answer.len() {
        let (first, second) = answer.split_at(cut);
        check(ask(Method::GET, &[first, second], End::Open).await.unwrap());
    }
    let bytes: Vec<&[u8]> = answer.chunks(1).collect();
    check(ask(Method::GET, &bytes, End::Open).await.unwrap());
}

#[tokio::test]
async fn a_body_without_a_length_goes_to_the_end_of_its_connection() {
    for version in ["1.0", "1.1"] {
        let answer = format!("HTTP/{version} 200\r\nConnection: keep-alive\r\n\r\nall there is");
        let pieces = [answer.as_bytes(), b", and more"];
        let heard = ask(Method::GET, &pieces, End::Close).await.unwrap();
        assert_eq!(heard.body.unwrap(), "all there is, and more");
        assert!(heard.kept.is_none());
    }
}

#[tokio::test]
async fn answers_that_have_no_body_end_with_their_head() {
    for (method, head, kept) in [
        (Method::HEAD, "200 OK\r\nContent-Length: 0", true),
        // An app that sends a body all the same may send it a moment later.
        (Method::HEAD, "200 OK\r\nContent-Length: 5", false),
        (Method::HEAD, "200 OK\r\nTransfer-Encoding: chunked", false),
        (Method::HEAD, "200 OK", false),
        (Method::GET, "204 No Content", true),
        (Method::GET, "204 No Content\r\nContent-Length: 0", true),
        (Method::GET, "204 No Content\r\nContent-Length: 5", false),
        (Method::GET, "204 No Content\r\nTransfer-Encoding: chunked", false),
        (Method::GET, "304 Not Modified\r\nContent-Length: 5", true),
        (Method::GET, "304 Not Modified\r\nTransfer-Encoding: chunked", false),
        (Method::GET, "200 OK\r\nContent-Length: 0", true),
    ] {
        let heard = ask(method, &[format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()], End::Open).await.unwrap();
        assert_eq!(heard.body.unwrap(), "", "{head}");
        assert_eq!(heard.kept.is_some(), kept, "{head}");
    }
}

#[tokio::test]
async fn an_answer_before_its_request_is_given_to_nobody() {
    let (ours, mut theirs) = duplex(4096);
    theirs.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen").await.unwrap();
    let fault = Connection::new(ours).exchange(&mut request(Method::GET), soon()).await.err().unwrap();
    assert!(matches!(fault, Fault::Unsent(_)), "{fault:?}");
    let mut said = Vec::new();
    theirs.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"", "the request was sent all the same");
}

#[tokio::test]
async fn no_answer_at_all_is_told_from_half_of_one() {
    let (ours, mut theirs) = duplex(4096);
    let mut asked = request(Method::GET);
    let (fault, _) =
        tokio::join!(async { Connection::new(ours).exchange(&mut asked, soon()).await.err().unwrap() }, async move {
            read_head(&mut theirs).await;
        });
    assert!(matches!(fault, Fault::Unanswered), "{fault:?}");
    assert_eq!(asked.whole().headers().len(), 3, "it can be sent again");
    for half in ["H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r", "HTTP/1.1 103 Hints\r\n\r\n"]
    {
        let fault = ask(Method::GET, &[half.as_bytes()], End::Close).await.err().unwrap();
        assert!(matches!(fault, Fault::Misbehaved(Violation::Truncated)), "{half:?}: {fault:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_shorter_than_it_said_is_broken_off() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n",
    ] {
        let heard = ask(Method::GET, &[answer.as_bytes()], End::Close).await.unwrap();
        assert_eq!(heard.body, Err(Violation::Truncated.to_string()), "{answer:?}");
        assert!(heard.kept.is_none());
    }
}

#[tokio::test]
async fn an_app_that_says_nothing_runs_into_the_deadline_and_so_does_one_that_stops_in_its_head() {
    for said in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 102 Processing\r\n\r\n"] {
        let (ours, mut theirs) = duplex(4096);
        let mut asked = request(Method::GET);
        let until = Instant::now() + Duration::from_millis(50);
        let (answer, _open) = tokio::join!(Connection::new(ours).exchange(&mut asked, until), async {
            read_head(&mut theirs).await;
            theirs.write_all(said.as_bytes()).await.unwrap();
            theirs
        });
        let fault = answer.err().unwrap();
        assert!(matches!(fault, Fault::Late) && Instant::now() >= until, "{said:?}: {fault:?}");
    }
}

#[tokio::test]
async fn the_deadline_of_one_exchange_is_not_the_next_ones() {
    let (ours, mut theirs) = duplex(4096);
    let connection = Connection::new(ours);
    let (mut first, mut second) = (request(Method::GET), request(Method::GET));
    let early = Instant::now() + Duration::from_secs(1);
    // Polled in turns by one task: the app answers as soon as the timer is set.
    let (answer, theirs) = tokio::join!(connection.exchange(&mut first, early), async {
        read_head(&mut theirs).await;
        theirs.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        theirs
    });
    let connection = finish(answer.unwrap()).await.kept.unwrap();
    let (answer, _open) = tokio::join!(connection.exchange(&mut second, soon()), async move {
        let mut theirs = theirs;
        read_head(&mut theirs).await;
        // The first one's timer goes off meanwhile.
        sleep_until(early + Duration::from_millis(20)).await;
        theirs.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        theirs
    });
    let mut connection = finish(answer.unwrap()).await.kept.unwrap();
    connection.timer.as_mut().unwrap().as_mut().reset(soon());
    let until = Instant::now() + Duration::from_millis(50);
    let fault = connection.exchange(&mut request(Method::GET), until).await.err().unwrap();
    assert!(matches!(fault, Fault::Late), "{fault:?}");
}

#[tokio::test]
async fn a_request_longer_than_the_pipe_is_written_piece_by_piece() {
    let (ours, mut theirs) = duplex(7);
    let mut asked = whole(Method::GET);
    asked.headers_mut().insert("x-long", HeaderValue::from_str(&"y".repeat(40_000)).unwrap());
    let mut asked = Outgoing::from(asked);
    let (answer, head) = tokio::join!(Connection::new(ours).exchange(&mut asked, soon()), async {
        let head = read_head(&mut theirs).await;
        theirs.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        head
    });
    assert!(head.len() > 40_000);
    assert_eq!(answer.unwrap().status, StatusCode::NO_CONTENT);
}
