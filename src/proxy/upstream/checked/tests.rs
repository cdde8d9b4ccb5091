//! What hyper hears of an app, and of one that hangs up.

use super::*;
use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

async fn asked(method: Method, switch: Switch) -> (Checked<DuplexStream>, DuplexStream, Notes) {
    let (ours, theirs) = duplex(1 << 20);
    let notes = Notes::default();
    let mut stream = Checked::new(ours, notes.clone());
    notes.ask(Question { method, switch });
    stream.write_all(b"x").await.unwrap();
    (stream, theirs, notes)
}

/// All that can be read before the app says more.
fn read(stream: &mut Checked<DuplexStream>) -> Result<String, String> {
    let mut all = String::new();
    let mut piece = [0; 64];
    loop {
        match stream.read(&mut piece).now_or_never() {
            Some(Ok(0)) | None => return Ok(all),
            Some(Ok(length)) => all.push_str(std::str::from_utf8(&piece[..length]).unwrap()),
            Some(Err(error)) => return Err(error.to_string()),
        }
    }
}

#[tokio::test]
async fn a_head_is_held_back_until_it_is_whole_and_arrives_as_it_came() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let ends: Vec<usize> = answer.match_indices("\r\n\r\n").map(|(at, _)| at + 4).collect();
    let (mut stream, mut app, notes) = asked(Method::POST, Switch::Unasked).await;
    let mut all = String::new();
    for (at, byte) in answer.bytes().enumerate() {
        app.write_all(&[byte]).await.unwrap();
        all.push_str(&read(&mut stream).unwrap());
        let whole = ends.iter().rev().find(|end| **end <= at + 1).unwrap_or(&0);
        assert_eq!(all, answer[..*whole]);
    }
    app.write_all(b"hel").await.unwrap();
    assert_eq!(read(&mut stream).unwrap(), "hel");
    app.write_all(b"lo").await.unwrap();
    assert_eq!(read(&mut stream).unwrap(), "lo");
    assert!(!notes.is_spoilt());
    notes.ask(Question { method: Method::GET, switch: Switch::Unasked });
    stream.write_all(b"x").await.unwrap();
    app.write_all(b"HTTP/1.1 204 No Content\n\r\n").await.unwrap();
    assert_eq!(read(&mut stream).unwrap_err(), Violation::LineEnd.to_string(), "the next answer is read anew");
}

#[tokio::test]
async fn behind_a_spoilt_answer_nothing_is_asked() {
    for (method, answer, is_spoilt) in [
        (Method::POST, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
        (Method::POST, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokx", true),
        (Method::POST, "HTTP/1.1 204 No Content\r\n\r\n", false),
        (Method::POST, "HTTP/1.1 204 No Content\r\n\r\nx", true),
        (Method::POST, "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n", true),
        (Method::POST, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false),
        (Method::POST, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nx", true),
        (Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", true),
        (Method::POST, "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok", true),
    ] {
        let (mut stream, mut app, notes) = asked(method, Switch::Unasked).await;
        app.write_all(answer.as_bytes()).await.unwrap();
        assert_eq!(read(&mut stream).unwrap(), answer.trim_end_matches('x'));
        assert_eq!(notes.is_spoilt(), is_spoilt, "{answer:?}");
        let next = stream.read(&mut [0; 8]).now_or_never().map(Result::unwrap);
        assert_eq!(next, answer.ends_with('x').then_some(0), "{answer:?}");
    }
}

#[tokio::test]
async fn an_end_after_a_lost_reset_is_not_an_answers_end() {
    for (answer, is_whole) in
        [("HTTP/1.1 200 OK\r\n\r\nok", false), ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true)]
    {
        for hears in [false, true] {
            let (mut stream, mut app, notes) = asked(Method::POST, Switch::Unasked).await;
            app.write_all(answer.as_bytes()).await.unwrap();
            drop(app);
            if !hears {
                stream.write_all(b"more").await.unwrap();
            }
            let expected =
                if hears || is_whole { Ok(answer.to_owned()) } else { Err(Violation::Truncated.to_string()) };
            assert_eq!(read(&mut stream), expected);
            assert_eq!((notes.has_hung_up(), notes.is_spoilt()), (!hears, !hears));
        }
    }
}

#[tokio::test]
async fn who_has_taken_nothing_has_not_hung_up_in_the_middle() {
    let (ours, theirs) = duplex(64);
    let notes = Notes::default();
    let mut stream = Checked::new(ours, notes.clone());
    drop(theirs);
    notes.ask(Question { method: Method::POST, switch: Switch::Unasked });
    stream.write_all(b"all").await.unwrap();
    assert!(notes.is_spoilt() && !notes.has_hung_up());
    assert_eq!(read(&mut stream).unwrap(), "");
}

#[tokio::test]
async fn a_switch_counts_only_where_it_was_offered_and_nothing_is_judged_behind_it() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n";
    let (mut stream, mut app, _) = asked(Method::GET, Switch::Offered).await;
    app.write_all(format!("{switch}\n\0").as_bytes()).await.unwrap();
    let mut head = vec![0; switch.len()];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head, switch.as_bytes());
    let mut tunnel = stream.into_inner();
    drop(app);
    let mut behind = Vec::new();
    tunnel.read_to_end(&mut behind).await.unwrap();
    assert_eq!(behind, b"\n\0", "what came with the head is the tunnel's");
    let (mut stream, mut app, _) = asked(Method::GET, Switch::Unasked).await;
    app.write_all(switch.as_bytes()).await.unwrap();
    assert_eq!(read(&mut stream).unwrap_err(), Violation::Switched.to_string());
}

#[tokio::test]
async fn half_a_head_is_told_from_none() {
    let (mut stream, app, _) = asked(Method::POST, Switch::Unasked).await;
    drop(app);
    assert_eq!(read(&mut stream).unwrap(), "");
    let (mut stream, mut app, _) = asked(Method::POST, Switch::Unasked).await;
    app.write_all(b"HTTP/1.1 200").await.unwrap();
    drop(app);
    assert_eq!(read(&mut stream).unwrap_err(), Violation::Truncated.to_string());
}
