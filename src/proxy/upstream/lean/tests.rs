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
    let mut request = http::Request::new(http::Body::Empty);
    *request.method_mut() = method;
    *request.uri_mut() = "/path?query=1".parse().unwrap();
    request.headers_mut().insert("host", HeaderValue::from_static("app.example"));
    request.headers_mut().append("x-two", HeaderValue::from_static("one"));
    request.headers_mut().append("x-two", HeaderValue::from_bytes(b"t\xffo").unwrap());
    Outgoing::from(request)
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
        let mut request = request(Method::POST);
        request.cleaned().headers_mut().append(name, HeaderValue::from_static(value));
        request
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
    let mut full = request(Method::POST);
    *full.cleaned().body_mut() = http::Body::Full(Bytes::from_static(b"x"));
    assert!(!full.is_plain());
}

#[tokio::test]
async fn an_answer_with_a_length_is_at_hand_and_its_connection_used_again() {
    let heard = get("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhello").await.unwrap();
    assert_eq!((heard.status, heard.body), (StatusCode::OK, Ok(Bytes::from_static(b"hello"))));
    assert_eq!(heard.headers.get("x-a").unwrap(), "b");
    assert!(heard.kept.is_some());
}

#[tokio::test]
async fn one_connection_serves_many_exchanges() {
    let (ours, mut theirs) = duplex(64);
    let app = tokio::spawn(async move {
        for number in 0..100_u32 {
            read_head(&mut theirs).await;
            let body = number.to_string().repeat(usize::try_from(number).unwrap());
            let answer = match number % 3 {
                0 => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
                1 => format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                    body.len()
                ),
                _ => "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n".to_owned(),
            };
            theirs.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let mut connection = Connection::new(ours);
    for number in 0..100_u32 {
        let answer = connection.exchange(&mut request(Method::GET), soon()).await.unwrap();
        let heard = finish(answer).await;
        let expected =
            if number % 3 == 2 { String::new() } else { number.to_string().repeat(usize::try_from(number).unwrap()) };
        assert_eq!(heard.body.unwrap(), expected);
        connection = heard.kept.unwrap();
    }
    app.await.unwrap();
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
async fn an_app_that_wants_to_close_is_believed() {
    for line in ["close", "Close", "keep-alive, close", "x , CLOSE ,", "keep-alive\r\nConnection: close"] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: {line}\r\n\r\nhi");
        let heard = get(answer).await.unwrap();
        assert_eq!(heard.body.unwrap(), "hi");
        assert!(heard.kept.is_none(), "{line}");
    }
}

#[tokio::test]
async fn a_connection_of_http_1_0_is_never_used_again() {
    let heard = get("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi").await.unwrap();
    assert_eq!(heard.body.unwrap(), "hi");
    assert!(heard.kept.is_none());
}

#[tokio::test]
async fn bytes_behind_an_answer_are_nobodys_and_close_the_connection() {
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen";
    for first in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
    ] {
        for behind in [second, "\r\n", "\n", "0\r\n\r\n", "x"] {
            let heard = get(format!("{first}{behind}")).await.unwrap();
            assert!(heard.kept.is_none(), "{first:?} {behind:?}");
            assert!(!String::from_utf8_lossy(&heard.body.unwrap()).contains("stolen"));
        }
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
async fn a_connection_that_was_closed_meanwhile_takes_no_request() {
    let (ours, theirs) = duplex(4096);
    drop(theirs);
    let mut asked = request(Method::POST);
    let fault = Connection::new(ours).exchange(&mut asked, soon()).await.err().unwrap();
    assert!(matches!(fault, Fault::Unsent(_)), "{fault:?}");
    assert_eq!(asked.cleaned().headers().len(), 3, "it can be sent again");
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
    assert_eq!(asked.cleaned().headers().len(), 3, "it can be sent again");
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
    let mut asked = request(Method::GET);
    asked.cleaned().headers_mut().insert("x-long", HeaderValue::from_str(&"y".repeat(40_000)).unwrap());
    let (answer, head) = tokio::join!(Connection::new(ours).exchange(&mut asked, soon()), async {
        let head = read_head(&mut theirs).await;
        theirs.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        head
    });
    assert!(head.len() > 40_000);
    assert_eq!(answer.unwrap().status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_body_dropped_before_its_end_closes_the_connection() {
    let (ours, mut theirs) = duplex(4096);
    let mut asked = request(Method::GET);
    let (answer, _) = tokio::join!(Connection::new(ours).exchange(&mut asked, soon()), async {
        read_head(&mut theirs).await;
        theirs.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello").await.unwrap();
    });
    let Body::Streamed(mut body) = answer.unwrap().body else { panic!("it is not all there") };
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    assert!(body.release().is_none());
    drop(body);
    assert_eq!(theirs.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn two_lengths_are_refused() {
    refused(
        Violation::TwoLengths,
        &[
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_length_said_twice_is_refused_even_if_it_is_the_same() {
    refused(
        Violation::RepeatedLength,
        &[
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 304 No\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_length_that_is_not_digits_alone_is_refused() {
    let lengths = ["", "+5", "-5", "5, 5", "5,6", "5;", "0x5", "5 5", "\"5\"", "5.0", "١", "18446744073709551616"];
    for length in lengths {
        refused(Violation::Length, &[&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nhello")]).await;
    }
}

#[tokio::test]
async fn a_coding_other_than_chunked_is_refused() {
    for coding in [
        "gzip",
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked;q=1",
        "\"chunked\"",
        "xchunked",
        "",
        "chunked\r\nTransfer-Encoding: chunked",
        "identity\r\nTransfer-Encoding: chunked",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
        refused(Violation::TransferCoding, &[&answer]).await;
    }
    refused(Violation::TransferCoding, &["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]).await;
}

#[tokio::test]
async fn a_line_that_ends_with_a_line_feed_alone_is_refused() {
    refused(
        Violation::LineEnd,
        &[
            "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\nX: y\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\n\nhello",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_carriage_return_that_ends_no_line_is_refused() {
    refused(Violation::Head(httparse::Error::HeaderValue), &["HTTP/1.1 200 OK\r\nX: a\rY: b\r\n\r\n"]).await;
    refused(Violation::Head(httparse::Error::HeaderValue), &["HTTP/1.1 200 OK\r\nX: a\r\r\nY: b\r\n\r\n"]).await;
    refused(Violation::Head(httparse::Error::Status), &["HTTP/1.1 200 O\rK\r\n\r\n"]).await;
    refused(Violation::Head(httparse::Error::NewLine), &["HTTP/1.1 200 OK\r\nX: a\r\n\rx"]).await;
}

#[tokio::test]
async fn a_folded_line_is_refused() {
    let found = Violation::Head(httparse::Error::HeaderName);
    refused(found, &["HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "HTTP/1.1 200 OK\r\nX: a\r\n\tb: c\r\n\r\n"]).await;
    refused(found, &["HTTP/1.1 200 OK\r\n X: a\r\n\r\n"]).await;
}

#[tokio::test]
async fn control_characters_in_a_value_are_refused() {
    for byte in (0..=0x1f_u8).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte)) {
        let answer = format!("HTTP/1.1 200 OK\r\nX: a{}b\r\n\r\n", char::from(byte));
        refused(Violation::Head(httparse::Error::HeaderValue), &[&answer]).await;
        let answer = format!("HTTP/1.1 200 O{}K\r\n\r\n", char::from(byte));
        refused(Violation::Head(httparse::Error::Status), &[&answer]).await;
    }
}

#[tokio::test]
async fn a_name_that_is_no_token_is_refused() {
    for line in ["Content-Length : 5", "X\0: a", ": a", "X Y: a", "no colon", "X(: a", "\u{7f}: a", "é: a", "X\t: a"] {
        let answer = format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\nhello");
        refused(Violation::Head(httparse::Error::HeaderName), &[&answer]).await;
    }
}

#[tokio::test]
async fn what_does_not_begin_with_a_status_line_is_refused() {
    refused(
        Violation::NotHttp,
        &["\r\nHTTP/1.1 200 OK\r\n\r\n", "\nHTTP/1.1 200 OK\r\n\r\n", "SSH-2.0-x\r\n", "<html>"],
    )
    .await;
    let found = Violation::Head(httparse::Error::Version);
    refused(found, &["HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.2 200 OK\r\n\r\n", "HTTP/1.1\r\n\r\n", "HELO you"]).await;
    let found = Violation::Head(httparse::Error::Status);
    refused(found, &["HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n"]).await;
    refused(found, &["HTTP/1.1 -20 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n"]).await;
}

#[tokio::test]
async fn a_status_below_100_is_refused() {
    refused(Violation::Status, &["HTTP/1.1 000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n"]).await;
    assert_eq!(get("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n").await.unwrap().status.as_u16(), 999);
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for_is_refused() {
    refused(Violation::Switched, &["HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"]).await;
}

#[tokio::test]
async fn interim_answers_are_few_and_have_no_body() {
    refused(Violation::InterimBody, &["HTTP/1.1 103 Hints\r\nContent-Length: 5\r\n\r\nhello"]).await;
    refused(Violation::InterimBody, &["HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]).await;
    let first = "HTTP/1.1 102 Processing\r\n\r\n";
    let last = "HTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(get(first.repeat(interim::MOST) + last).await.unwrap().status, StatusCode::NO_CONTENT);
    refused(Violation::TooManyInterim, &[&(first.repeat(interim::MOST + 1) + last)]).await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let padded = |length: usize| format!("HTTP/1.1 204 No\r\nX: {}\r\n\r\n", "y".repeat(length));
    let most = head::LONGEST - padded(0).len();
    assert!(get(padded(most)).await.is_ok());
    refused(Violation::HeadTooLong, &[&padded(most + 1), &padded(10 * head::LONGEST)]).await;
    let many = |fields: usize| format!("HTTP/1.1 204 No\r\n{}\r\n", "X: y\r\n".repeat(fields));
    assert_eq!(get(many(100)).await.unwrap().headers.get_all("x").iter().count(), 100);
    refused(Violation::TooManyFields, &[&many(101)]).await;
}

#[tokio::test]
async fn a_chunk_without_a_plain_size_is_broken_off() {
    broken_off(
        Violation::ChunkSize,
        &[
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "5\t;x\r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            ";x\r\n",
            "10000000000000000\r\n",
            "00000000000000005\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_chunk_of_the_largest_size_is_no_overflow() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello";
    let heard = ask(Method::GET, &[answer], End::Close).await.unwrap();
    assert_eq!(heard.body, Err(Violation::Truncated.to_string()));
}

#[tokio::test]
async fn a_chunk_that_is_longer_than_it_said_is_broken_off() {
    broken_off(
        Violation::ChunkEnd,
        &["5\r\nhello!\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r0\r\n\r\n"],
    )
    .await;
    broken_off(Violation::ChunkEnd, &["5\rhello", "0\r\n\rx", "0\r\nX: y\rz"]).await;
}

#[tokio::test]
async fn chunk_extensions_are_passed_over_within_bounds() {
    let heard =
        get("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b c\" ;d\r\nhello\r\n0;e\r\n\r\n").await;
    assert_eq!(heard.unwrap().body.unwrap(), "hello");
    let many = "1;0123456789\r\nx\r\n".repeat(1000);
    broken_off(Violation::ChunkExtension, &["5;a\nhello\r\n0\r\n\r\n", "5;\0\r\nhello\r\n0\r\n\r\n", &many]).await;
    broken_off(Violation::ChunkEnd, &["5;a\rb\r\nhello\r\n0\r\n\r\n"]).await;
}

#[tokio::test]
async fn trailers_are_passed_on_within_bounds() {
    let many = format!("0\r\n{}\r\n", "X: y\r\n".repeat(65));
    let long = format!("0\r\nX: {}\r\n\r\n", "y".repeat(16 * 1024));
    broken_off(
        Violation::Trailers,
        &[
            "0\r\nno colon\r\n\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n\n",
            "0\r\n X: y\r\n\r\n",
            &many,
            &long,
        ],
    )
    .await;
    broken_off(Violation::Trailers, &["0\r\nX: \0\r\n\r\n", "0\r\nX: a\r\n b\r\n\r\n"]).await;
}
