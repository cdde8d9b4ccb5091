//! Answers: their heads, their lengths, and bodies that break off or are taken slowly.

use super::*;

#[tokio::test]
async fn answers_without_a_body_have_none() {
    for (method, status, length, sent) in [
        (Method::HEAD, 200, None, Some("2")),
        (Method::HEAD, 200, Some("100"), Some("100")),
        (Method::GET, 204, Some("2"), None),
        (Method::GET, 304, Some("2"), Some("2")),
    ] {
        let mut world = World::of(move |_, _| async move {
            let mut answer = text(StatusCode::from_u16(status).unwrap(), "ok");
            if let Some(length) = length {
                answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            answer
        })
        .await;
        let (answer, _) = world.ask(method.clone(), &[], true);
        let head = in_time(answer).await.unwrap();
        let said = head.headers().get(CONTENT_LENGTH).map(|length| length.to_str().unwrap().to_owned());
        assert_eq!(said.as_deref(), sent, "{method} {status}");
        assert!(head.into_body().is_end_stream(), "{method} {status}: the head is the end");
    }
}

#[tokio::test]
async fn what_concerns_a_connection_stays_off_the_wire() {
    let mut world = World::of(|_, _| async {
        let mut answer = text(StatusCode::OK, "ok");
        for (name, value) in [
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-other", "1"),
        ] {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    })
    .await;
    let (_, head, body) = whole(world.get()).await;
    let mut names: Vec<_> = head.headers().keys().map(|name| name.as_str().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["cache-control", "content-length", "content-type", "date", "x-other"]);
    assert_eq!(
        (body.unwrap().as_slice(), &head.headers()["content-length"]),
        (&b"ok"[..], &HeaderValue::from_static("2"))
    );
}

#[tokio::test]
async fn a_date_is_added_where_there_is_none() {
    let mut world = World::of(|request: Request, _| async move {
        let mut answer = text(StatusCode::OK, "ok");
        if let Some(date) = request.headers().get("date") {
            answer.headers_mut().insert("date", date.clone());
        }
        answer
    })
    .await;
    let (_, head, _) = whole(world.get()).await;
    assert!(head.headers()["date"].to_str().unwrap().ends_with(" GMT"));
    let answer = world.ask(Method::GET, &[("date", "its own")], true).0;
    assert_eq!(whole(answer).await.1.headers()["date"], "its own");
}

#[tokio::test]
async fn an_answer_is_as_long_as_it_says_or_no_answer() {
    for (said, pieces, outcome) in [
        ("5", vec!["hel", "lo"], Ok("hello")),
        ("5", vec!["hel"], Err(Reason::INTERNAL_ERROR)),
        ("5", vec!["hel", "lo, and more"], Ok("hello")),
        ("5", vec!["", "hello", ""], Ok("hello")),
        ("0", vec![], Ok("")),
    ] {
        let (tell, body) = piecemeal();
        pieces.iter().for_each(|piece| tell.send(data(piece)).unwrap());
        drop(tell);
        let mut answer = Response::new(body);
        answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static(said));
        let mut world = World::once(answer).await;
        let (_, _, body) = whole(world.get()).await;
        let body = body.map_err(|error| error.reason().unwrap());
        assert_eq!(body, outcome.map(|text| text.as_bytes().to_vec()), "{said} {pieces:?}");
    }
    for said in ["five", "+5", "5, 5", ""] {
        let mut answer = Response::new(piecemeal().1);
        answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static(said));
        let mut world = World::once(answer).await;
        assert_eq!(whole(world.get()).await.1.status(), StatusCode::INTERNAL_SERVER_ERROR, "{said}");
    }
}

/// What a body says of a reset by who sends it.
async fn reset_with(reason: Reason) -> BodyError {
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut world = World::of(move |request: Request, _| {
        let tell = tell.clone();
        tokio::spawn(async move { tell.send(request.into_body().collect().await.unwrap_err()) });
        std::future::pending()
    })
    .await;
    let (_answer, mut upload) = world.ask(Method::POST, &[], false);
    until_busy(&world.activity).await;
    upload.send_reset(reason);
    in_time(told.recv()).await.unwrap()
}

#[tokio::test]
async fn a_body_that_breaks_off_resets_its_stream_with_what_the_app_said() {
    #[derive(Debug, thiserror::Error)]
    #[error("the app broke off")]
    struct Wrapped(#[source] BodyError);
    for (error, reason) in [
        ("it broke off".into(), Reason::INTERNAL_ERROR),
        (h2::Error::from(Reason::CANCEL).into(), Reason::INTERNAL_ERROR),
        (reset_with(Reason::ENHANCE_YOUR_CALM).await, Reason::ENHANCE_YOUR_CALM),
        (Wrapped(reset_with(Reason::CANCEL).await).into(), Reason::CANCEL),
        (reset_with(Reason::NO_ERROR).await, Reason::INTERNAL_ERROR),
        (reset_with(Reason::REFUSED_STREAM).await, Reason::INTERNAL_ERROR),
        (reset_with(Reason::HTTP_1_1_REQUIRED).await, Reason::INTERNAL_ERROR),
    ] {
        let (tell, body) = piecemeal();
        tell.send(data("begun")).unwrap();
        tell.send(Err(error)).unwrap();
        let mut world = World::once(Response::new(body)).await;
        assert_eq!(whole(world.get()).await.2.unwrap_err().reason(), Some(reason));
        world.quiet().await;
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_loses_its_stream_and_no_other() {
    // Also when the app has said all.
    for pieces in [1, 2] {
        let mut builder = client::Builder::new();
        builder.initial_window_size(10);
        let left = Arc::new(());
        let held = Arc::downgrade(&left);
        let (tell, body) = piecemeal();
        for _ in 0..pieces {
            tell.send(data("more than the window")).unwrap();
        }
        drop(tell);
        let mut answer = Response::new(body);
        answer.extensions_mut().insert(left);
        let mut world = World::with(builder, once(answer)).await;
        let mut stream = in_time(world.get()).await.unwrap().into_body();
        world.event("write_timeout").await;
        assert_eq!(in_time(stream.data()).await.unwrap().unwrap(), "more than ");
        assert_eq!(in_time(stream.data()).await.unwrap().unwrap_err().reason(), Some(Reason::CANCEL));
        world.quiet().await;
        assert!(held.upgrade().is_none());
        assert!(!world.spoken.is_finished() && !world.served.is_finished());
    }
}

#[tokio::test]
async fn a_client_that_takes_next_to_nothing_loses_its_stream_too() {
    // Whatever it calls its request; what the app calls its answer counts.
    for says in ["text/plain", "application/grpc"] {
        let mut builder = client::Builder::new();
        builder.initial_window_size(10);
        let (tell, body) = piecemeal();
        for _ in 0..1000 {
            tell.send(data("more than the window, by far ")).unwrap();
        }
        let mut world = World::with(builder, once(Response::new(body))).await;
        let (answer, _) = world.ask(Method::POST, &[("content-type", says)], true);
        let mut stream = in_time(answer).await.unwrap().into_body();
        let mut beat = tokio::time::interval(WRITE_TIMEOUT / 5);
        let lost = async {
            loop {
                match stream.data().await.unwrap() {
                    Ok(piece) => stream.flow_control().release_capacity(piece.len()).unwrap(),
                    Err(error) => break error,
                }
                beat.tick().await;
            }
        };
        assert_eq!(in_time(lost).await.reason(), Some(Reason::CANCEL), "{says}");
        world.event("write_timeout").await;
        world.quiet().await;
    }
}

#[tokio::test]
async fn trailers_that_belong_elsewhere_do_not_break_an_answer() {
    let mut trailers = HeaderMap::new();
    for name in ["keep-alive", "connection", "x-hop", "content-length", "set-cookie", "grpc-status"] {
        let value = if name == "connection" { "x-hop" } else { "0" };
        trailers.insert(name, HeaderValue::from_static(value));
    }
    let frames = [Ok::<_, BodyError>(Frame::data("all".into())), Ok(Frame::trailers(trailers))];
    let answer = Response::new(Body::streamed(StreamBody::new(futures_util::stream::iter(frames))));
    let mut world = World::once(answer).await;
    let mut stream = in_time(world.get()).await.unwrap().into_body();
    assert_eq!(in_time(stream.data()).await.unwrap().unwrap(), "all");
    assert!(in_time(stream.data()).await.is_none());
    let trailers = in_time(stream.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers.keys().collect::<Vec<_>>(), ["grpc-status"]);
}

#[tokio::test]
async fn who_takes_slowly_or_waits_for_a_slow_app_keeps_it() {
    let mut builder = client::Builder::new();
    builder.initial_window_size(100);
    let (tell, body) = piecemeal();
    let mut world = World::with(builder, once(Response::new(body))).await;
    let mut stream = in_time(world.get()).await.unwrap().into_body();
    // Longer than a client may take nothing, where there is something to take.
    tokio::time::sleep(WRITE_TIMEOUT + WRITE_TIMEOUT / 4).await;
    // Either piece takes longer than that as well, and comes bit by bit.
    for _ in 0..2 {
        tell.send(Ok(Frame::data(vec![7; 1000].into()))).unwrap();
    }
    drop(tell);
    let mut taken = 0;
    while let Some(piece) = in_time(stream.data()).await {
        let length = piece.unwrap().len();
        taken += length;
        tokio::time::sleep(WRITE_TIMEOUT / 8).await;
        stream.flow_control().release_capacity(length).unwrap();
    }
    assert_eq!(taken, 2000);
    assert!(world.events.try_recv().is_err());
}
