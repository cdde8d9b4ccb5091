//! Requests that cannot be read, or whose bodies are let go of late: what becomes of them and of what follows.

use http_body_util::Collected;
use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::HeaderName;

use super::*;

#[tokio::test]
async fn a_request_behind_a_body_that_was_let_go_of_late_is_answered() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let handler = move |request: Request, _: Peer| {
        let tell = tell.clone();
        async move {
            if request.uri() == "/late" {
                // As an app does that answers at once, and takes the body all the same.
                tokio::spawn(async move {
                    let mut body = request.into_body();
                    body.frame().await.unwrap().unwrap();
                    tell.send(body).unwrap();
                });
            }
            text(StatusCode::OK, "hello")
        }
    };
    let world = World::open(Limits::default(), None, handler);
    let mut client = world.connect().await;
    client.write_all(b"POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").await.unwrap();
    read_until(&mut client, "hello").await;
    client.write_all(b"bodyGET /behind HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    drop(in_time(told.recv()).await);
    let answer = tokio::time::timeout(EVER / 4, read_until(&mut client, "hello")).await;
    assert!(answer.expect("answered long before its connection counts as idle").starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_body_that_is_malformed_from_the_start_is_its_requests_fault_and_answered() {
    let handler = |request: Request, _: Peer| async move {
        match request.into_body().collect().await {
            Ok(_) => text(StatusCode::OK, "hello"),
            Err(_) => text(StatusCode::BAD_REQUEST, "no"),
        }
    };
    let world = World::open(Limits::default(), None, handler);
    for chunks in ["5 \r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "5\r\nhello, you\r\n0\r\n\r\n", "x"] {
        let mut client = world.connect().await;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.write_all(format!("{head}{chunks}GET /behind HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        let answer = read_all(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("no"), "{chunks:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{chunks:?}: {answer}");
    }
}

/// Answers at once, and tells what becomes of a POST's body: its trailers and its data, once it has ended well.
fn hasty() -> (Told, impl Fn(Request, Peer) -> std::future::Ready<Response> + Clone) {
    let (tell, told) = mpsc::unbounded_channel();
    let handler = move |request: Request, _: Peer| {
        let tell = tell.clone();
        if request.method() == Method::POST {
            tokio::spawn(async move {
                let whole = request.into_body().collect().await;
                let parts = |whole: Collected<Bytes>| (whole.trailers().cloned(), whole.to_bytes());
                tell.send(whole.ok().map(parts)).unwrap();
            });
        }
        std::future::ready(text(StatusCode::OK, "hello"))
    };
    (told, handler)
}

type Told = mpsc::UnboundedReceiver<Option<(Option<HeaderMap>, Bytes)>>;

#[tokio::test]
async fn a_body_that_ends_behind_its_answer_ends_for_its_reader_and_the_next_request_is_answered() {
    let (mut told, handler) = hasty();
    let world = World::open(Limits::default(), None, handler);
    let body = Some((None, "bodybody".into()));
    let late = HeaderMap::from_iter([(HeaderName::from_static("when"), HeaderValue::from_static("late"))]);
    let trailed = Some((Some(late), "bodybody".into()));
    for (framing, pieces, end) in [
        ("Content-Length: 8", &["body", "body"][..], &body),
        ("Transfer-Encoding: chunked", &["4\r\nbody\r\n", "4\r\nbody\r\n0\r\n\r\n"], &body),
        ("Transfer-Encoding: chunked", &["8\r\nbodybody\r\n0\r\n\r\n"], &body),
        ("Transfer-Encoding: chunked", &["8\r\nbodybody\r\n0\r\nwhen: late\r\n\r\n"], &trailed),
        ("Transfer-Encoding: chunked", &["8\r\nbodybody\r\n", "0\r\nwhen: late\r\n", "\r\n"], &trailed),
    ] {
        let mut client = world.connect().await;
        client.write_all(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").as_bytes()).await.unwrap();
        read_until(&mut client, "hello").await;
        for piece in pieces {
            client.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.write_all(b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let answer = tokio::time::timeout(EVER / 4, read_until(&mut client, "hello")).await;
        assert!(matches!(&answer, Ok(answer) if answer.starts_with("HTTP/1.1 200 OK")), "{pieces:?}: {answer:?}");
        assert_eq!(in_time(told.recv()).await.as_ref(), Some(end), "{pieces:?}");
    }
}

#[tokio::test]
async fn trailers_that_came_behind_an_answer_make_no_other_body_whole() {
    let (mut told, handler) = hasty();
    let world = World::open(Limits::default(), None, handler);
    let post = |framing: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}");
    for (framing, body) in [
        ("Content-Length: 9", "bodybody"),
        ("Transfer-Encoding: chunked", "8\r\nbodybody\r\n0\r\n"),
        ("Transfer-Encoding: chunked", "8\r\nbodybody\r\n0\r\nwhen: late\r\n"),
        ("Transfer-Encoding: chunked", "9\r\nbodybody"),
    ] {
        let mut client = world.connect().await;
        client.write_all(post("Transfer-Encoding: chunked", "").as_bytes()).await.unwrap();
        read_until(&mut client, "hello").await;
        client.write_all(b"4\r\nbody\r\n0\r\nwhen: early\r\n\r\n").await.unwrap();
        let (trailers, _) = in_time(told.recv()).await.unwrap().unwrap();
        assert_eq!(trailers.unwrap()["when"], "early");
        client.write_all(post(framing, body).as_bytes()).await.unwrap();
        read_until(&mut client, "hello").await;
        drop(client);
        assert_eq!(in_time(told.recv()).await, Some(None), "{framing}: {body:?}");
    }
}

#[tokio::test]
async fn a_head_behind_a_body_is_read_as_strictly_as_any_other() {
    let world = World::open(Limits::default(), None, |request, _| async {
        request.into_body().collect().await.unwrap();
        text(StatusCode::OK, "hello")
    });
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
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
        world.event("malformed").await;
    }
}
