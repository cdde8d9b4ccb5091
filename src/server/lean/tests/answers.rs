//! Answers: what is written of them, and what becomes of one that contradicts itself.

use super::*;

fn data(bytes: &'static str) -> Result<http_body::Frame<Bytes>, BodyError> {
    Ok(http_body::Frame::data(bytes.into()))
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_ended_cleanly() {
    for length in [None, Some("11"), Some("6")] {
        let served = serve(&[b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"], BOUNDS, |_| {
            let broken = if length == Some("11") { None } else { Some(Err("the app is gone".into())) };
            let mut response = streamed([data("hello")].into_iter().chain(broken).collect());
            if let Some(length) = length {
                response.headers_mut().insert("content-length", HeaderValue::from_static(length));
            }
            response
        })
        .await;
        assert_eq!(served.said.len(), 1);
        assert!(served.wire.contains("hello") && !served.wire.contains("0\r\n\r\n"), "{}", served.wire);
        assert!(matches!(served.turns[..], [Turn::Ended]), "{:?}", served.turns);
    }
}

#[tokio::test]
async fn an_answer_says_no_more_than_it_announced() {
    let served = serve(&[b"GET / HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\n"], BOUNDS, |_| {
        let mut response = streamed(vec![data("hello"), data("HTTP/1.1 200 OK")]);
        response.headers_mut().insert("content-length", HeaderValue::from_static("7"));
        response.headers_mut().insert("transfer-encoding", HeaderValue::from_static("chunked"));
        response
    })
    .await;
    assert_eq!(
        served.wire,
        "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ndate: now\r\n\r\nhelloHT\
         HTTP/1.1 200 OK\r\ncontent-length: 7\r\ndate: now\r\n\r\n"
    );
}

#[tokio::test]
async fn an_answer_that_contradicts_itself_is_an_error_of_ours() {
    for (name, values) in [("content-length", vec!["5", "6"]), ("content-length", vec!["x"])] {
        let served = serve(&[b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"], BOUNDS, |_| {
            let mut response = streamed(vec![data("hello")]);
            for value in &values {
                response.headers_mut().append(name, HeaderValue::from_static(value));
            }
            response
        })
        .await;
        assert!(served.wire.starts_with("HTTP/1.1 500 ") && served.wire.contains("connection: close"), "{values:?}");
        assert_eq!(served.said.len(), 1);
    }
    let served = serve(&[b"GET / HTTP/1.1\r\n\r\n"], BOUNDS, |_| refusal(StatusCode::SWITCHING_PROTOCOLS)).await;
    assert!(served.wire.starts_with("HTTP/1.1 500 "), "{}", served.wire);
}

#[tokio::test]
async fn what_is_at_hand_of_a_body_is_not_held_back() {
    let (near, mut far) = duplex(64 * 1024);
    let (tell, told) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
    let told = Mutex::new(Some(told));
    let ask = |_: Arrival, _| {
        let pieces = futures_util::stream::unfold(told.lock().unwrap().take().unwrap(), |mut told| async {
            Some((data(told.recv().await?), told))
        });
        Box::pin(std::future::ready(Response::new(Body::streamed(http_body_util::StreamBody::new(pieces)))))
    };
    let activity = Arc::new(Activity::new());
    let mut lean = Lean::new(Fenced::new(near));
    let us = poll_fn(|cx| lean.poll(cx, BOUNDS, &activity, ask));
    let client = async {
        far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(far.read_u8().await.unwrap());
        }
        for piece in ["one", "two"] {
            tell.send(piece).unwrap();
            let mut chunk = [0; 8];
            far.read_exact(&mut chunk).await.unwrap();
            assert_eq!(chunk, *format!("3\r\n{piece}\r\n").as_bytes());
        }
        assert!(!activity.is_idle());
        // Gone in the middle, which is seen by what comes next.
        drop(far);
        tell.send("three").unwrap();
    };
    let (turn, ()) = tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(us, client) }).await.unwrap();
    assert!(matches!(turn, Turn::Broken(_)), "{turn:?}");
    drop(lean);
    assert!(activity.is_idle());
}
