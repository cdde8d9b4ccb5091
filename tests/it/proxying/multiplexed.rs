//! Clients of HTTP/2.

use super::*;

#[tokio::test]
async fn http2_carries_many_requests_at_once() {
    let world = World::with().tls().start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_http2(&world).await;
    let mut answers = tokio::task::JoinSet::new();
    for number in 0..50 {
        let body = Full::new(Bytes::from(vec![b'x'; number * 100]));
        let request = Request::post(world.at("/upload")).header("cookie", &ticket).body(body).unwrap();
        soon("readiness", sender.ready()).await.unwrap();
        let answer = sender.send_request(request);
        answers.spawn(async move {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), (number * 100).to_string());
        });
    }
    while let Some(answer) = soon("the answers", answers.join_next()).await {
        answer.unwrap();
    }
    let seen = world.app.last();
    assert_eq!(seen.one("host").as_deref(), Some(world.authority()), ":authority is the app's Host");
    assert_eq!(seen.one("x-forwarded-proto").as_deref(), Some("https"));
    assert!(seen.one("x-salesforce-user-id").is_some());
}

#[tokio::test]
async fn cookies_that_http2_splits_are_joined_for_the_app() {
    let world = World::with().tls().start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_http2::<Full<Bytes>>(&world).await;
    let request = Request::get(world.at("/"))
        .header("cookie", "a=1")
        .header("cookie", &ticket)
        .header("cookie", "b=2")
        .body(Full::default())
        .unwrap();
    assert_eq!(soon("an answer", sender.send_request(request)).await.unwrap().status(), 200);
    assert_eq!(world.app.last().one("cookie").as_deref(), Some("a=1; b=2"));
}

#[tokio::test]
async fn trailers_pass_through_http2_both_ways() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        assert_eq!(line.chunk().await, b"hello");
        assert_eq!(line.chunk().await, b"");
        let trailers = line.head().await.unwrap();
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-back\r\n\r\n2\r\nok\r\n0\r\n";
        line.send(format!("{answer}x-back: {}\r\n\r\n", trailers.trim().replace(": ", "="))).await;
    })
    .await;
    let world = World::with().tls().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_http2(&world).await;
    let trailers = HeaderMap::from_iter([(name("x-there"), HeaderValue::from_static("42"))]);
    let frames = [Frame::data(Bytes::from_static(b"hello")), Frame::trailers(trailers)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, std::convert::Infallible>)));
    let request = Request::post(world.at("/"))
        .header("cookie", &ticket)
        .header("te", "trailers")
        .header("trailer", "x-there")
        .body(body)
        .unwrap();
    let answer = soon("an answer", sender.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), 200);
    let collected = soon("a body", answer.into_body().collect()).await.unwrap();
    let back = collected.trailers().and_then(|trailers| trailers.get("x-back")).cloned();
    assert_eq!(back, Some(HeaderValue::from_static("x-there=42")));
}

#[tokio::test]
async fn an_http2_upload_is_slowed_down_by_an_app_that_does_not_read() {
    const PIECE: usize = 64 << 10;
    const PIECES: usize = 1024;
    let stage = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let world = World::with().tls().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_http2(&world).await;
    let given = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&given);
    let body = StreamBody::new(futures_util::stream::iter((0..PIECES).map(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(&[0; PIECE])))
    })));
    let request = Request::post(world.at("/upload")).header("cookie", &ticket).body(body).unwrap();
    let answer = tokio::spawn(sender.send_request(request));
    let mut before = 0;
    soon("a blocked upload", async {
        while before == 0 || before != given.load(Ordering::SeqCst) {
            before = given.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
    assert!(before < PIECES / 4 * 3, "{before} of {PIECES} pieces were taken although nobody read them");
    answer.abort();
}

#[tokio::test]
async fn an_http2_stranger_touches_no_app() {
    let world = World::with().tls().start().await;
    let mut sender = speak_http2::<Full<Bytes>>(&world).await;
    let request = Request::get(world.at("/")).body(Full::default()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 401);
    let request = Request::get("https://evil.example/").body(Full::default()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 421);
    assert_eq!(world.app.hits(), 0);
}

#[tokio::test]
async fn an_answer_that_breaks_off_resets_its_http2_stream_alone() {
    let stage = Stage::play(|mut line: Line, number| async move {
        line.head().await;
        if number == 0 {
            line.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
        } else {
            line.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let world = World::with().tls().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_http2::<Full<Bytes>>(&world).await;
    let request = || Request::get(world.at("/")).header("cookie", &ticket).body(Full::default()).unwrap();
    let broken = soon("an answer", sender.send_request(request())).await.unwrap();
    assert!(soon("an end", broken.into_body().collect()).await.is_err());
    let good = soon("an answer", sender.send_request(request())).await.unwrap();
    assert_eq!(good.into_body().collect().await.unwrap().to_bytes(), "ok");
}

#[tokio::test]
async fn tls_speaks_http1_with_whoever_does_not_know_better() {
    let world = World::with().tls().start().await;
    let ticket = world.ticket().await;
    let stream = secured(&world, b"http/1.1").await;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..2 {
        let request = Request::get("/page").header("host", world.authority()).header("cookie", &ticket);
        let answer = sender.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
        sender.ready().await.unwrap();
    }
    assert_eq!(world.app.hits(), 2);
}
