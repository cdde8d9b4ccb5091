//! Response splitting: an app that can be made to say more than one answer, or one with two readings, on a
//! connection that the next person's request would use. Nobody ever hears what was not said to them.

use super::*;
use crate::stage::{Line, length, until};

const STOLEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen";
const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";

/// An app that says this to the first request of its first connection, and then keeps the connection open; to all
/// others it gives a proper answer. With it whether its first connection was closed.
async fn says(answer: String) -> (Stage, std::sync::Arc<std::sync::atomic::AtomicBool>) {
    let closed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = std::sync::Arc::clone(&closed);
    let stage = Stage::play(move |mut line: Line, number| {
        let (answer, flag) = (answer.clone(), std::sync::Arc::clone(&flag));
        async move {
            if number == 0 {
                receive(&mut line).await;
                line.send(answer).await;
                assert_eq!(String::from_utf8_lossy(&line.rest().await), "", "a second request on a spoiled connection");
                flag.store(true, std::sync::atomic::Ordering::SeqCst);
                return;
            }
            while receive(&mut line).await {
                line.send(FINE).await;
            }
        }
    })
    .await;
    (stage, closed)
}

/// Receives a request, with its body if it has one; whether there was any.
async fn receive(line: &mut Line) -> bool {
    let Some(head) = line.head().await else { return false };
    line.take(length(&head)).await;
    true
}

/// How an app is asked, by method, further fields and body.
type Question = (&'static str, &'static str, &'static str);

/// What is nothing but a head goes another way to an app than what has a body.
const QUESTIONS: [Question; 2] = [("GET", "", ""), ("POST", "Content-Length: 5\r\n", "hello")];

/// And so does what asks for a tunnel.
const UPGRADE: Question = ("GET", "Connection: upgrade\r\nUpgrade: websocket\r\n", "");

fn open_route(stage: &Stage) -> String {
    TWO_ROUTES.replacen("{app}", &stage.authority, 1)
}

/// What two people hear who ask one after the other, each on a connection of their own; then the app's first
/// connection is closed, and nobody has heard what was smuggled.
async fn two_people(answer: &str, question: Question) -> [Heard; 2] {
    let (stage, closed) = says(answer.to_owned()).await;
    let world = World::with().routes(&open_route(&stage)).start().await;
    let (method, more, body) = question;
    // Nobody gets a tunnel without a session.
    let cookie = if question == UPGRADE { session_of(&world).await } else { "a=b".to_owned() };
    let ask = |path: &str| {
        let fields = format!("Accept: application/json\r\nCookie: {cookie}\r\n{more}");
        head(&world, &format!("{method} {path} HTTP/1.1"), &fields) + body
    };
    let first = say(&world, ask("/pub/one")).await;
    let second = say(&world, ask("/pub/two")).await;
    for heard in [&first, &second] {
        assert!(!heard.text().contains("stolen") && heard.statuses().len() <= 1, "{answer:?}: {}", heard.text());
    }
    assert!(second.text().ends_with("fine"), "{answer:?}: {}", second.text());
    until("the closing of a spoiled connection", || async { closed.load(std::sync::atomic::Ordering::SeqCst) }).await;
    [first, second]
}

/// Each of these is a 502 for whoever asked, and nothing at all for the next person.
async fn refused(answers: &[&str]) {
    for answer in answers {
        for question in QUESTIONS {
            let [first, _] = two_people(&format!("{answer}{STOLEN}"), question).await;
            assert!(first.text().contains("upstream_misbehaved"), "{question:?} {answer:?}: {}", first.text());
            assert_eq!(first.statuses(), [502], "{question:?} {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_second_answer_behind_the_first_is_nobodys() {
    for first in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n",
    ] {
        for question in QUESTIONS {
            let [heard, _] = two_people(&format!("{first}{STOLEN}"), question).await;
            assert!(matches!(heard.statuses()[..], [200 | 204 | 304]), "{question:?}: {}", heard.text());
        }
    }
}

#[tokio::test]
async fn a_second_answer_a_moment_after_the_first_is_nobodys() {
    let stage = Stage::play(|mut line: Line, number| async move {
        while line.head().await.is_some() {
            line.send(FINE).await;
            if number == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                line.send(STOLEN).await;
                assert_eq!(line.rest().await, b"", "a second request on a spoiled connection");
            }
        }
    })
    .await;
    let world = World::with().routes(&open_route(&stage)).start().await;
    for _ in 0..3 {
        // Falls silent for longer than the app waits.
        let heard = say(&world, head(&world, "GET /pub HTTP/1.1", "")).await;
        assert!(heard.text().ends_with("fine"), "{}", heard.text());
    }
    assert_eq!(stage.connections(), 2);
}

#[tokio::test]
async fn the_body_that_an_app_sends_to_a_head_is_nobodys() {
    let stage = Stage::play(|mut line: Line, _| async move {
        while let Some(head) = line.head().await {
            if !head.starts_with("head ") {
                line.send(FINE).await;
                continue;
            }
            line.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", STOLEN.len())).await;
            tokio::task::yield_now().await;
            line.send(STOLEN).await;
        }
    })
    .await;
    let world = World::with().routes(&open_route(&stage)).start().await;
    for round in 1..4 {
        let mut lines = [Line::to(world.authority()).await, Line::to(world.authority()).await];
        lines[0].send(head(&world, "HEAD /pub/file HTTP/1.1", "")).await;
        assert!(lines[0].head().await.unwrap().starts_with("http/1.1 200 "));
        lines[1].send(head(&world, "GET /pub/page HTTP/1.1", "")).await;
        lines[1].head().await.unwrap();
        assert_eq!(lines[1].take(4).await, b"fine");
        assert!(stage.connections() > round, "the connection of a HEAD was used again");
    }
}

#[tokio::test]
async fn an_answer_with_two_lengths_is_refused() {
    refused(&[
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0, 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn an_answer_in_a_coding_that_is_not_plainly_chunked_is_refused() {
    refused(&[
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn an_answer_whose_lines_readers_split_differently_is_refused() {
    refused(&[
        "HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\n\n",
        "HTTP/1.1 200 OK\r\nx: a\rcontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\r\n content-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: \0\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: \x7f\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\ncontent-length: 0\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_answer_to_this_question_is_refused() {
    refused(&[
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.1 099 Odd\r\ncontent-length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
    ])
    .await;
    refused(&[&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(70_000))]).await;
    refused(&[&format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101))]).await;
}

#[tokio::test]
async fn an_answer_that_declines_an_upgrade_has_one_reading() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 403 Forbidden\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ] {
        let [first, _] = two_people(&format!("{answer}{STOLEN}"), UPGRADE).await;
        assert!(first.text().contains("upstream_misbehaved"), "{answer:?}: {}", first.text());
    }
}

#[tokio::test]
async fn chunks_that_readers_count_differently_break_the_answer_off() {
    for body in [
        "5 \r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;\n\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nx : y\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
    ] {
        for question in QUESTIONS {
            let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}{STOLEN}");
            let [first, _] = two_people(&answer, question).await;
            let is_whole = !first.closed || first.text().ends_with("0\r\n\r\n");
            assert!(!is_whole, "{question:?} {body:?} is made whole: {}", first.text());
        }
    }
}

#[tokio::test]
async fn a_request_that_announces_a_body_without_one_never_waits_for_the_next_persons() {
    let world = half_open().await;
    for framing in ["Content-Length: 0\r\n", "Content-Length: 00\r\n", "Transfer-Encoding: chunked\r\n"] {
        let body = if framing.starts_with('T') { "0\r\n\r\n" } else { "" };
        let heard = say(&world, format!("{}{body}", head(&world, "GET /pub/x HTTP/1.1", framing))).await;
        assert_eq!(heard.statuses().len(), 1, "{framing}: {}", heard.text());
        for _ in 0..3 {
            assert!(say(&world, head(&world, "GET /pub/y HTTP/1.1", "")).await.statuses() == [200]);
        }
    }
    still_standing(&world).await;
}

// RFC 9113 sections 8.1.1 and 8.2.2: what would be malformed, or have two lengths once it is HTTP/1.1.
#[tokio::test]
async fn a_malformed_answer_by_http2_is_refused() {
    let bad: [&[(&str, &str)]; 10] = [
        &[("content-length", "5"), ("content-length", "9")],
        &[("content-length", "9"), ("content-length", "5")],
        &[("content-length", "5"), ("content-length", "5")],
        &[("content-length", "5, 5")],
        &[("content-length", "+5")],
        &[("content-length", "")],
        &[("content-length", "5"), ("content-length", "")],
        &[("transfer-encoding", "chunked")],
        &[("connection", "x-salesforce-user-id")],
        &[("upgrade", "websocket")],
    ];
    for fields in bad {
        let stage = crate::multiplexed::plain(::h2::server::Builder::new(), move |_, mut reply, _| async move {
            let mut answer = hyper::Response::builder();
            for (name, value) in fields {
                answer = answer.header(*name, *value);
            }
            if let Ok(mut stream) = reply.send_response(answer.body(()).unwrap(), false) {
                _ = stream.send_data("hello".into(), true);
            }
        })
        .await;
        let routes = TWO_ROUTES.replacen("http://{app}", &format!("h2c://{}", stage.authority), 1);
        let world = World::with().routes(&routes).start().await;
        for (method, more, body) in QUESTIONS {
            let fields_of_ours = format!("Accept: application/json\r\n{more}");
            let request = head(&world, &format!("{method} /pub HTTP/1.1"), &fields_of_ours) + body;
            let heard = say(&world, request).await;
            assert_eq!(heard.statuses(), [502], "{fields:?} {method}: {}", heard.text());
            assert!(heard.text().contains("upstream_misbehaved"), "{}", heard.text());
        }
    }
}
