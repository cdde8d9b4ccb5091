//! Tunnels over an extended CONNECT (RFC 8441).

use super::*;

/// Upgrades to an echo, in tasks of its own.
fn echo(mut request: Request, _: Peer) -> std::future::Ready<Response> {
    assert_eq!(request.extensions().get::<h2::ext::Protocol>().map(|name| name.as_str()), Some("websocket"));
    let promise = Promise::of(&mut request);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(promise.kept().await.unwrap());
        if tokio::io::copy(&mut read, &mut write).await.is_ok() {
            _ = write.shutdown().await;
        }
    });
    let mut answer = Response::default();
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    std::future::ready(answer)
}

impl World {
    fn connect(&mut self) -> (ResponseFuture, SendStream<Bytes>) {
        let mut request =
            hyper::Request::builder().method(Method::CONNECT).uri("https://wiki.example/").body(()).unwrap();
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        self.client.send_request(request, false).unwrap()
    }
}

#[tokio::test]
async fn an_extended_connect_becomes_a_tunnel_of_bytes() {
    let mut world = World::of(echo).await;
    let (answer, mut to) = world.connect();
    let (head, mut from) = in_time(answer).await.unwrap().into_parts();
    assert_eq!((head.status, head.headers.get(CONTENT_LENGTH)), (StatusCode::OK, None));
    // Far more than any window.
    let piece = Bytes::from(vec![7; 100_000]);
    let all = 30 * piece.len();
    let sent = async {
        for _ in 0..30 {
            let mut piece = piece.clone();
            while !piece.is_empty() {
                let room = poll_fn(|cx| http::duplex::poll_room(&mut to, 9_999.min(piece.len()), cx)).await.unwrap();
                to.send_data(piece.split_to(room), false).unwrap();
            }
        }
        to.send_data(Bytes::new(), true).unwrap();
    };
    let read = async {
        let mut taken = 0;
        while let Some(data) = from.data().await {
            let length = data.unwrap().len();
            from.flow_control().release_capacity(length).unwrap();
            taken += length;
        }
        taken
    };
    assert_eq!(in_time(async { tokio::join!(sent, read) }).await.1, all, "and an orderly end");
    until_idle(&world.activity).await;
}

#[tokio::test]
async fn what_a_client_sent_before_it_left_counts() {
    let go = Arc::new(Notify::new());
    let prompt = Arc::clone(&go);
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut world = World::of(move |mut request: Request, _| {
        if request.method() == Method::CONNECT {
            let (promise, tell, go) = (Promise::of(&mut request), tell.clone(), Arc::clone(&prompt));
            tokio::spawn(async move {
                let mut side = promise.kept().await.unwrap();
                go.notified().await;
                let mut heard = Vec::new();
                let ended = side.read_to_end(&mut heard).await.is_ok();
                tell.send((ended, heard))
            });
        }
        async { Response::default() }
    })
    .await;
    for (reason, is_end) in [(Reason::CANCEL, true), (Reason::INTERNAL_ERROR, false), (Reason::NO_ERROR, false)] {
        let (answer, mut to) = world.connect();
        let _from = in_time(answer).await.unwrap();
        to.send_data("goodbye".into(), false).unwrap();
        // What is answered came behind it.
        whole(world.get()).await.2.unwrap();
        to.send_reset(reason);
        whole(world.get()).await.2.unwrap();
        go.notify_one();
        assert_eq!(in_time(told.recv()).await.unwrap(), (is_end, b"goodbye".to_vec()), "{reason}");
    }
}

#[tokio::test]
async fn a_tunnel_counts_and_outlives_the_goodbye_and_breaks_with_its_connection() {
    let mut world = World::of(echo).await;
    let (answer, mut to) = world.connect();
    let mut from = in_time(answer).await.unwrap().into_body();
    world.tasks.close();
    in_time(world.tasks.wait()).await;
    assert!(!world.activity.is_idle());
    world.drain.begin();
    to.send_data("hello".into(), false).unwrap();
    assert_eq!(in_time(from.data()).await.unwrap().unwrap(), "hello");
    assert!(!world.served.is_finished());
    world.drain.cut();
    assert!(in_time(from.data()).await.is_none_or(|data| data.is_err()));
    in_time(world.served).await.unwrap();
    until_idle(&world.activity).await;
}

#[tokio::test]
async fn a_tunnel_that_is_dropped_or_wanted_by_nobody_is_cancelled() {
    for wanted in [true, false] {
        let mut world = World::of(move |mut request: Request, _| {
            if wanted {
                let promise = Promise::of(&mut request);
                tokio::spawn(async move { drop(promise.kept().await.unwrap()) });
            }
            async { Response::default() }
        })
        .await;
        let (answer, _to) = world.connect();
        let mut from = in_time(answer).await.unwrap().into_body();
        assert_eq!(in_time(from.data()).await.unwrap().unwrap_err().reason(), Some(Reason::CANCEL));
        world.quiet().await;
    }
}

#[tokio::test]
async fn what_is_not_agreed_to_is_an_answer_and_no_tunnel() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut world = World::of(move |mut request: Request, _| {
        let promise = Promise::of(&mut request);
        let tell = tell.clone();
        tokio::spawn(async move { tell.send(promise.kept().await.is_err()) });
        async { text(StatusCode::FORBIDDEN, "no") }
    })
    .await;
    let (answer, _to) = world.connect();
    let (_, head, body) = whole(answer).await;
    assert_eq!((head.status(), body.unwrap().as_slice()), (StatusCode::FORBIDDEN, &b"no"[..]));
    assert!(in_time(told.recv()).await.unwrap());
    world.quiet().await;
}

#[tokio::test]
async fn a_connect_with_a_body_is_malformed() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let mut world = World::of(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Response::default() }
    })
    .await;
    let mut request = hyper::Request::builder().method(Method::CONNECT).uri("https://wiki.example/");
    request = request.header("content-length", "5").extension(h2::ext::Protocol::from_static("websocket"));
    let (answer, _to) = world.client.send_request(request.body(()).unwrap(), false).unwrap();
    assert_eq!(in_time(answer).await.unwrap_err().reason(), Some(Reason::PROTOCOL_ERROR));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    in_time(world.connect().0).await.unwrap();
}
