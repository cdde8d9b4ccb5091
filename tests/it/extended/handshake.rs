//! What an app of HTTP/2 is asked, what it may answer, and what the client is told.

use super::*;

#[tokio::test]
async fn the_app_receives_an_extended_connect_and_the_client_its_own_answer() {
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let stage = plain(willing(), move |asked: Asked, mut reply: Reply, _| {
        let (head, body) = asked.into_parts();
        *note.lock().unwrap() = Some(head);
        let answer = Response::builder().header("sec-websocket-protocol", "chat").header("x-of", "the app");
        let answer = answer.header("sec-websocket-accept", "forged").header("set-cookie", "a=b");
        let stream = reply.send_response(answer.body(()).unwrap(), false).unwrap();
        async move {
            let _open = (body, stream);
            std::future::pending::<()>().await;
        }
    })
    .await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let more = "sec-websocket-protocol: chat, talk\r\nsec-websocket-extensions: permessage-deflate\r\n\
                content-length: 0\r\norigin: ORIGIN\r\nx-forwarded-user: eve\r\n";
    let more = format!("{KEY}{}", more.replace("ORIGIN", &world.url));
    let mut line = ask(&world, &world.ticket().await, &more).await;
    let answer = line.head().await.unwrap();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert_eq!((field(&answer, "connection"), field(&answer, "upgrade")), (Some("upgrade"), Some("websocket")));
    assert_eq!(field(&answer, "sec-websocket-accept"), Some(ACCEPT), "the client's key is answered, by us");
    assert_eq!((field(&answer, "sec-websocket-protocol"), field(&answer, "x-of")), (Some("chat"), Some("the app")));

    let head = seen.lock().unwrap().take().unwrap();
    assert_eq!((&head.method, head.extensions.get::<Protocol>().unwrap().as_str()), (&Method::CONNECT, "websocket"));
    assert_eq!(head.uri.to_string(), format!("http://{}/chat?room=1", world.authority()));
    for gone in ["host", "connection", "upgrade", "sec-websocket-key", "content-length", "transfer-encoding"] {
        assert!(!head.headers.contains_key(gone), "{gone}: {:?}", head.headers);
    }
    for (name, value) in [
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, talk"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("origin", &world.url),
    ] {
        assert_eq!(head.headers[name], value);
    }
    assert_ne!(head.headers["x-forwarded-user"], "eve");
    assert!(head.headers.contains_key("x-salesforce-user-id"));
}

#[tokio::test]
async fn what_is_sent_before_the_apps_answer_waits_for_it() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let stage = plain(willing(), move |asked: Asked, mut reply: Reply, _| {
        let tell = tell.clone();
        async move {
            let mut body = asked.into_body();
            let early = tokio::time::timeout(Duration::from_millis(200), body.data()).await;
            tell.send(early.is_err()).unwrap();
            let _open = reply.send_response(Response::new(()), false).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), "early");
            tell.send(true).unwrap();
        }
    })
    .await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let mut line = ask(&world, &world.ticket().await, KEY).await;
    line.send("early").await;
    assert_eq!(soon("the app's look", told.recv()).await, Some(true), "nothing before the app agrees");
    assert_eq!(soon("the bytes", told.recv()).await, Some(true));
}

// Over TLS.

/// An app with TLS that speaks what `protocols` say: chat over HTTP/2, and a word over HTTP/1.1.
async fn encrypted(authority: &Authority, protocols: &[&str]) -> (Stage, String) {
    Stage::encrypted(authority, protocols, serve, |mut line| async move {
        line.head().await;
        line.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nold").await;
    })
    .await
}

#[tokio::test]
async fn an_app_with_tls_that_speaks_http2_alone_has_its_websockets_there() {
    let authority = Authority::new();
    let (stage, routes) = encrypted(&authority, &["h2"]).await;
    let world = World::with().tls().routes(&routes).start().await;
    let ticket = world.ticket().await;
    for _ in 0..3 {
        let (answer, _sender) = asked(&world, &ticket).await;
        talk(&mut socket(answer).await, "hello").await;
    }
    assert_eq!(stage.connections(), 2, "HTTP/1.1 was tried once");
    let world = World::with().routes(&format!("{routes}http2 = false\n")).start().await;
    let (status, body) = declined(ask(&world, &world.ticket().await, KEY).await).await;
    assert_eq!(status, "502", "{body}");
    assert!(body.contains("upstream_handshake"), "{body}");
}

#[tokio::test]
async fn an_app_with_tls_that_speaks_both_has_its_websockets_by_http1() {
    let authority = Authority::new();
    for protocols in [&["h2", "http/1.1"][..], &["http/1.1"], &[]] {
        let (_stage, routes) = encrypted(&authority, protocols).await;
        let world = World::with().routes(&routes).start().await;
        let answer = declined(ask(&world, &world.ticket().await, KEY).await).await;
        assert_eq!(answer, ("403".to_owned(), "old".to_owned()), "{protocols:?}");
    }
}

// What does not pass.

#[tokio::test]
async fn an_app_that_does_not_enable_it_is_a_501_that_says_so() {
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let stage = plain(Builder::new(), move |_: Asked, _: Reply, _| {
        count.fetch_add(1, Ordering::SeqCst);
        async {}
    })
    .await;
    let world = World::with().tls().routes(&routes(&stage)).start().await;
    let (answer, _sender) = asked(&world, &world.ticket().await).await;
    let (status, body) = refusal(answer).await;
    assert_eq!(status, 501);
    assert!(body.contains("upstream_no_tunnel") && body.contains("extended CONNECT"), "{body}");
    let world = World::with().routes(&routes(&stage)).start().await;
    let (status, body) = declined(ask(&world, &world.ticket().await, KEY).await).await;
    assert_eq!(status, "501");
    assert!(body.contains("upstream_no_tunnel"), "{body}");
    assert_eq!(hits.load(Ordering::SeqCst), 0, "a client MUST NOT send it then (RFC 8441 section 4)");
}

#[tokio::test]
async fn no_other_upgrade_passes_to_an_app_of_http2() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    for protocol in ["echo", "websocket2", "irc/6.9"] {
        let mut line = Line::to(world.authority()).await;
        let head = format!("GET / HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n", world.authority());
        line.send(format!("{head}connection: upgrade\r\nupgrade: {protocol}\r\n{KEY}\r\n")).await;
        let (status, body) = declined(line).await;
        assert_eq!(status, "501", "{protocol}: {body}");
    }
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_handshake_without_a_valid_key_is_a_400_and_the_app_hears_nothing() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    for key in ["", "sec-websocket-key: short\r\n", &format!("{KEY}{KEY}")] {
        let (status, body) = declined(ask(&world, &ticket, key).await).await;
        assert_eq!(status, "400", "{key:?}");
        assert!(body.contains("bad_request") && body.contains("Sec-WebSocket-Key"), "{body}");
    }
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn an_app_of_http2_that_declines_is_an_ordinary_answer() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let stage = plain(willing(), move |asked: Asked, mut reply: Reply, _| {
        let tell = tell.clone();
        async move {
            let answer = Response::builder().status(403).header("content-length", "3").body(()).unwrap();
            let mut to_client = reply.send_response(answer, false).unwrap();
            to_client.send_data(Bytes::from("no!"), true).unwrap();
            let mut opened = Opened { from_client: asked.into_body(), to_client };
            tell.send(opened.data().await.is_none()).unwrap();
        }
    })
    .await;
    let world = World::with().tls().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    let (answer, _sender) = asked(&world, &ticket).await;
    assert_eq!(refusal(answer).await, (403, "no!".to_owned()));
    assert_eq!(soon("the stream's end", told.recv()).await, Some(true));
    let world = World::with().routes(&routes(&stage)).start().await;
    let mut line = ask(&world, &world.ticket().await, KEY).await;
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 403 ") && field(&head, "upgrade").is_none(), "{head}");
    assert_eq!(line.take(3).await, b"no!");
}

#[tokio::test]
async fn an_app_of_http2_that_answers_with_a_page_is_not_taken_for_a_tunnel() {
    for (ends, length) in [(true, None), (false, Some("5")), (false, Some("0"))] {
        let stage = plain(willing(), move |_: Asked, mut reply: Reply, _| async move {
            let mut answer = Response::builder().status(200);
            if let Some(length) = length {
                answer = answer.header("content-length", length);
            }
            let _open = reply.send_response(answer.body(()).unwrap(), ends).unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let world = World::with().routes(&routes(&stage)).start().await;
        let (status, body) = declined(ask(&world, &world.ticket().await, KEY).await).await;
        assert_eq!(status, "502", "{ends} {length:?}");
        assert!(body.contains("upstream_misbehaved"), "{body}");
    }
}

#[tokio::test]
async fn any_success_of_an_app_of_http2_opens_the_tunnel() {
    for status in [200, 201, 299] {
        let stage = plain(willing(), move |_: Asked, mut reply: Reply, _| async move {
            let answer = Response::builder().status(status).body(()).unwrap();
            reply.send_response(answer, false).unwrap().send_data(Bytes::from("hello"), true).unwrap();
        })
        .await;
        let world = World::with().routes(&routes(&stage)).start().await;
        let mut line = opened(&world, &world.ticket().await).await;
        assert_eq!(line.take(5).await, b"hello", "{status}");
    }
}

#[tokio::test]
async fn of_several_addresses_one_that_takes_tunnels_is_found() {
    let (able, mut told) = agreeing().await;
    let unable = plain(Builder::new(), |_: Asked, _: Reply, _| async {}).await;
    let list = format!("upstream = [\"h2c://{}\", \"h2c://{}\"]", unable.authority, able.authority);
    let world = World::with().routes(&format!("[[route]]\n{list}\nbalance = \"round-robin\"\n")).start().await;
    let ticket = world.ticket().await;
    for _ in 0..4 {
        let _line = opened(&world, &ticket).await;
        soon("a tunnel", told.recv()).await.unwrap();
    }
}
