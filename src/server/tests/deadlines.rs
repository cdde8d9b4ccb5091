//! What takes too long, and what only seems to: heads, bodies, answers and connections that stand still.

use super::*;

#[tokio::test]
async fn a_silent_connection_is_closed_at_the_header_deadline() {
    let mut world = World::open(Limits { header_timeout: SOON, ..Limits::default() }, None, hello);
    let mut stream = world.connect().await;
    assert_eq!(read_all(&mut stream).await, "");
    let peer = stream.local_addr().unwrap();
    assert_eq!(world.event("header_timeout").await, Event::HeaderTimeout { peer: peer.into() });
    world.event("closed").await;
}

#[tokio::test]
async fn half_a_head_is_closed_at_the_header_deadline() {
    for beginning in ["G", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\n"] {
        let mut world = World::open(Limits { header_timeout: SOON, ..Limits::default() }, None, hello);
        let mut stream = world.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        assert_eq!(read_all(&mut stream).await, "");
        world.event("header_timeout").await;
    }
}

#[tokio::test]
async fn what_takes_long_is_not_idle() {
    let world = World::open(Limits { header_timeout: SOON, ..Limits::default() }, None, |_, _| async {
        tokio::time::sleep(3 * SOON).await;
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            tokio::time::sleep(3 * SOON).await;
            tell.send("late").unwrap();
        });
        let pieces = futures_util::stream::unfold(told, |mut told| async {
            let piece = http_body::Frame::data(bytes::Bytes::from_static(told.recv().await?.as_bytes()));
            Some((Ok::<_, crate::http::BodyError>(piece), told))
        });
        Response::new(Body::streamed(http_body_util::StreamBody::new(pieces)))
    });
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut stream, "late\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn an_answer_that_is_taken_slowly_is_not_idle() {
    const LENGTH: usize = 16 * 1024 * 1024;
    let limits = Limits { header_timeout: SOON, ..Limits::default() };
    let world = World::open(limits, None, |_, _| async { text(StatusCode::OK, vec![b'x'; LENGTH]) });
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(5 * SOON).await;
    let answer = read_all(&mut stream).await;
    assert!(answer.ends_with("xxxx") && answer.len() > LENGTH, "{}", answer.len());
}

#[tokio::test]
async fn an_idle_connection_is_closed_by_its_own_name() {
    let mut world = World::open(Limits { header_timeout: SOON, ..Limits::default() }, None, hello);
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("hello"));
    world.event("idle_timeout").await;
}

#[tokio::test]
async fn a_handshake_that_does_not_happen_ends_at_its_deadline() {
    let (tls, _) = certified(&[]);
    let mut world = World::open(Limits { handshake_timeout: SOON, ..Limits::default() }, Some(tls), hello);
    let mut stream = world.connect().await;
    assert_eq!(read_all(&mut stream).await, "");
    world.event("handshake_timeout").await;
}

#[tokio::test]
async fn limits_beyond_all_time_do_not_overflow() {
    let ever = Duration::MAX;
    let limits = Limits {
        header_timeout: ever,
        handshake_timeout: ever,
        connection_age: ever,
        body_idle_timeout: ever,
        h2_idle_timeout: ever,
        ..Limits::default()
    };
    let (tls, connector) = certified(&[b"h2"]);
    let world = World::open(limits, Some(tls), hello);
    let (mut send, _) = http2(connect_tls(&world, &connector).await).await;
    assert_eq!(in_time(send.send_request(get("https://localhost/"))).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_stalls_fails_for_its_reader() {
    let limits = Limits { body_idle_timeout: SOON, ..Limits::default() };
    let mut world = World::open(limits, None, |request: Request, _| async move {
        let error = request.into_body().collect().await.expect_err("the body is never whole");
        assert_eq!(error.downcast_ref(), Some(&body::Stalled::Silent), "{error}");
        text(StatusCode::REQUEST_TIMEOUT, "stalled")
    });
    let mut stream = world.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nab").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    world.event("body_timeout").await;
}

#[tokio::test]
async fn a_body_that_moves_takes_longer_than_the_idle_timeout() {
    let limits = Limits { body_idle_timeout: Duration::from_millis(500), ..Limits::default() };
    let world = World::open(limits, None, |request: Request, _| async move {
        let whole = request.into_body().collect().await.unwrap().to_bytes();
        text(StatusCode::OK, whole)
    });
    let mut stream = world.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 8\r\n\r\n").await.unwrap();
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    for byte in b"12345678" {
        beat.tick().await;
        stream.write_all(&[*byte]).await.unwrap();
    }
    assert!(read_all(&mut stream).await.ends_with("12345678"));
}

#[tokio::test]
async fn a_client_that_never_reads_is_given_up() {
    let mut world = World::open(Limits::default(), None, |_, _| async { endless() });
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    world.event("write_timeout").await;
    world.event("closed").await;
}

#[tokio::test]
async fn a_stalled_stream_is_reset_and_its_connection_lives_on() {
    let (tls, connector) = certified(&[b"h2"]);
    let mut world = World::open(Limits::default(), Some(tls), |request: Request, _| async move {
        if request.uri().path() == "/endless" { endless() } else { text(StatusCode::OK, "hello") }
    });
    let (mut send, _) = http2(connect_tls(&world, &connector).await).await;
    let stalled = in_time(send.send_request(get("https://localhost/endless"))).await.unwrap();
    world.event("write_timeout").await;
    let answer = in_time(send.send_request(get("https://localhost/"))).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    assert!(in_time(stalled.into_body().collect()).await.is_err(), "it was reset, not ended");
}

#[tokio::test]
async fn an_old_connection_is_asked_to_end_after_its_request() {
    let mut world = World::open(Limits { connection_age: SOON, ..Limits::default() }, None, hello);
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("hello"));
    world.event("connection_age").await;
    world.event("closed").await;
}
