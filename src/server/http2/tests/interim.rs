//! What is said before the answer: hints, and that a body is wanted (RFC 9110 section 15.2).

use super::*;

/// What came before an answer so far; waits for the next.
async fn hint(answer: &mut ResponseFuture) -> hyper::Response<()> {
    in_time(poll_fn(|cx| answer.poll_informational(cx))).await.expect("another").unwrap()
}

#[tokio::test]
async fn hints_come_while_the_answer_is_still_being_made() {
    let go = Arc::new(Notify::new());
    let prompt = Arc::clone(&go);
    let mut world = World::of(move |_, peer: Peer| {
        let go = Arc::clone(&prompt);
        async move {
            let sender = peer.interim.unwrap();
            for name in ["a", "b"] {
                sender.send(StatusCode::EARLY_HINTS, link(name));
                go.notified().await;
            }
            sender.send(StatusCode::PROCESSING, HeaderMap::new());
            text(StatusCode::OK, "ok")
        }
    })
    .await;
    for _ in 0..2 {
        let mut answer = world.get();
        for name in ["a", "b"] {
            let hint = hint(&mut answer).await;
            assert_eq!((hint.status(), hint.headers()), (StatusCode::EARLY_HINTS, &link(name)));
            // the handler goes on only now
            go.notify_one();
        }
        let (hints, head, body) = whole(answer).await;
        assert_eq!(
            (hints, head.status(), head.headers().get(LINK), body.unwrap()),
            (vec![102], StatusCode::OK, None, b"ok".to_vec())
        );
    }
    world.quiet().await;
}

#[tokio::test]
async fn nothing_comes_behind_the_head_of_the_answer() {
    let late: Arc<Mutex<Option<Sender>>> = Arc::default();
    let kept = Arc::clone(&late);
    let (tell, body) = piecemeal();
    let body = Arc::new(Mutex::new(Some(body)));
    let mut world = World::of(move |_, peer: Peer| {
        *kept.lock().unwrap() = peer.interim;
        let body = body.lock().unwrap().take().unwrap();
        async move { Response::new(body) }
    })
    .await;
    let mut answer = world.get();
    let head = in_time(&mut answer).await.unwrap();
    late.lock().unwrap().take().unwrap().send(StatusCode::EARLY_HINTS, link("late"));
    tell.send(data("ok")).unwrap();
    drop(tell);
    let mut stream = head.into_body();
    assert_eq!(in_time(stream.data()).await.unwrap().unwrap(), "ok");
    assert_eq!(in_time(stream.data()).await.unwrap().unwrap(), "");
    assert!(in_time(stream.data()).await.is_none() && in_time(stream.trailers()).await.unwrap().is_none());
    assert!(!world.spoken.is_finished(), "nothing was wrong with it");
}

#[tokio::test]
async fn hints_are_bounded_in_number_and_size() {
    let mut world = World::of(|request: Request, peer: Peer| async move {
        let sender = peer.interim.unwrap();
        let large = request.headers().contains_key("large");
        for _ in 0..100 {
            sender.send(StatusCode::EARLY_HINTS, link(&"x".repeat(if large { 10_000 } else { 1 })));
            tokio::task::yield_now().await;
        }
        text(StatusCode::OK, "ok")
    })
    .await;
    let (hints, _, body) = whole(world.get()).await;
    assert_eq!((hints.len(), body.unwrap().as_slice()), (64, &b"ok"[..]));
    let answer = world.ask(Method::GET, &[("large", "1")], true).0;
    assert_eq!(whole(answer).await.0.len(), 6, "of 10,000 bytes, however fast the client takes them");
}

#[tokio::test]
async fn a_101_and_its_kin_are_no_answers() {
    for status in [101, 103, 199] {
        let status = StatusCode::from_u16(status).unwrap();
        let mut world = World::of(move |_, peer: Peer| async move {
            peer.interim.unwrap().send(StatusCode::SWITCHING_PROTOCOLS, HeaderMap::new());
            let mut answer = text(StatusCode::OK, "ok");
            *answer.status_mut() = status;
            answer
        })
        .await;
        let (hints, head, body) = whole(world.get()).await;
        assert_eq!((hints, head.status(), body.unwrap().len()), (vec![], StatusCode::INTERNAL_SERVER_ERROR, 0));
    }
}

#[tokio::test]
async fn who_waits_for_a_100_gets_it_when_the_body_is_wanted() {
    let go = Arc::new(Notify::new());
    let prompt = Arc::clone(&go);
    let mut world = World::of(move |request: Request, _| {
        let go = Arc::clone(&prompt);
        async move {
            go.notified().await;
            // In another task, as an app's connection has it.
            let body = tokio::spawn(request.into_body().collect());
            text(StatusCode::OK, body.await.unwrap().unwrap().to_bytes())
        }
    })
    .await;
    for is_early in [false, true] {
        let (mut answer, mut upload) = world.ask(Method::POST, &[("expect", "100-Continue")], false);
        if is_early {
            upload.send_data("early".into(), true).unwrap();
            world.client = in_time(world.client.ready()).await.unwrap();
            until_busy(&world.activity).await;
        }
        go.notify_one();
        if !is_early {
            assert_eq!(hint(&mut answer).await.status(), StatusCode::CONTINUE);
            upload.send_data("early".into(), true).unwrap();
        }
        let (hints, _, body) = whole(answer).await;
        assert_eq!((hints, body.unwrap()), (vec![], b"early".to_vec()));
    }
}

#[tokio::test]
async fn who_is_refused_or_sends_anyway_is_not_told_to_go_on() {
    let mut world = World::of(|request: Request, _| async move {
        if request.method() == Method::PUT {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "no");
        }
        text(StatusCode::OK, request.into_body().collect().await.unwrap().to_bytes())
    })
    .await;
    let (answer, _upload) = world.ask(Method::PUT, &[("expect", "100-continue")], false);
    assert_eq!(whole(answer).await.0, [0_u16; 0]);
    let (answer, mut upload) = world.ask(Method::POST, &[], false);
    upload.send_data("hello".into(), true).unwrap();
    assert_eq!(whole(answer).await.0, [0_u16; 0]);
    let (answer, _) = world.ask(Method::POST, &[("expect", "100-continue")], true);
    assert_eq!(whole(answer).await.0, [0_u16; 0], "it has no body");
}
