//! What breaks off, is refused or says goodbye, and what becomes of the others on the connection.

use super::*;

#[tokio::test]
async fn what_an_app_refuses_unseen_is_sent_again() {
    let asked_for = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked_for);
    let stage = plain(Builder::new(), move |_, mut reply, _| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if first { reply.send_reset(Reason::REFUSED_STREAM) } else { say(reply, "ok") } }
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    assert_eq!(ask(&world, &ticket, Method::DELETE, "").await, (200, "ok".to_owned()));
    assert_eq!(asked_for.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_reset_that_says_nothing_of_that_kind_is_a_502_and_nothing_is_sent_again() {
    for reason in [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::PROTOCOL_ERROR] {
        let asked_for = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked_for);
        let stage = plain(Builder::new(), move |_, mut reply, _| {
            count.fetch_add(1, Ordering::SeqCst);
            async move { reply.send_reset(reason) }
        })
        .await;
        let (world, ticket) = world_of(&stage).await;
        for method in [Method::GET, Method::DELETE] {
            assert_eq!(ask(&world, &ticket, method, "").await, (502, "upstream_misbehaved".to_owned()));
        }
        assert_eq!(asked_for.load(Ordering::SeqCst), 2, "{reason:?}");
        assert_eq!(stage.connections(), 1, "a stream's fault is not the connection's");
    }
}

#[tokio::test]
async fn an_app_that_says_goaway_finishes_and_is_connected_to_again() {
    let (listener, authority) = Ear::tcp().await;
    let stage = Stage::listen(Ear::Tcp(listener), authority, |wire, _| async move {
        let mut connection = h2::server::handshake(wire).await.unwrap();
        let mut served = 0;
        while let Some(Ok((_, reply))) = connection.accept().await {
            say(reply, "ok");
            served += 1;
            if served == 3 {
                connection.graceful_shutdown();
            }
        }
    });
    let (world, ticket) = world_of(&stage).await;
    for _ in 0..12 {
        assert_eq!(get(&world, &ticket).await, (200, "ok".to_owned()));
    }
    assert!(stage.connections() >= 3, "{}", stage.connections());
}

#[tokio::test]
async fn an_answer_that_is_reset_is_not_made_whole() {
    let stage = plain(Builder::new(), |_, mut reply, _| async move {
        let mut stream = reply.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from("hello"), false).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.send_reset(Reason::CANCEL);
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let mut line = Line::to(world.authority()).await;
    line.send(format!("GET / HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n\r\n", world.authority())).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 200 "));
    let body = String::from_utf8(line.rest().await).unwrap();
    assert!(body.contains("hello") && !body.ends_with("0\r\n\r\n"), "{body:?}");
}

#[tokio::test]
async fn a_client_that_goes_away_resets_its_stream_alone() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let stage = plain(Builder::new(), move |asked, mut reply, _| {
        let tell = tell.clone();
        async move {
            if asked.uri().path() == "/wait" {
                let reason = std::future::poll_fn(|cx| reply.poll_reset(cx)).await;
                tell.send(reason.unwrap()).unwrap();
            } else {
                say(reply, "ok");
            }
        }
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    assert_eq!(get(&world, &ticket).await.0, 200);
    let client = tokio::net::TcpStream::connect(world.gateway.address).await.unwrap();
    // Closed with a reset: one that merely ends its side waits for the answer.
    client.set_zero_linger().unwrap();
    let mut line = Line::over(Box::new(client));
    line.send(format!("GET /wait HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n\r\n", world.authority())).await;
    assert!(line.is_silent(Duration::from_millis(100)).await);
    drop(line);
    assert_eq!(soon("a reset", told.recv()).await, Some(Reason::CANCEL));
    assert_eq!(get(&world, &ticket).await.0, 200);
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_the_clients_fault() {
    let stage = plain(Builder::new(), |asked, reply, _| async move {
        let mut body = asked.into_body();
        while let Some(Ok(_)) = body.data().await {}
        drop(reply);
    })
    .await;
    let world = World::with().routes(&route(&stage)).table("[limits]\nbody_idle_timeout = \"200ms\"").start().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    let head = format!("POST / HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n", world.authority());
    line.send(format!("{head}accept: application/json\r\ncontent-length: 10\r\n\r\nhello")).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 408 "));
    let mut line = Line::to(world.authority()).await;
    line.send(format!("{head}accept: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello, you\r\n")).await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 400 "));
    assert!(String::from_utf8(line.rest().await).unwrap().contains("\"body_malformed\""));
}

#[tokio::test]
async fn an_app_that_does_not_answer_in_time_is_a_504_and_its_connection_stays() {
    let stage = plain(Builder::new(), |asked, reply, _| async move {
        if asked.method() == Method::GET {
            return say(reply, "ok");
        }
        let _held = reply;
        std::future::pending::<()>().await;
    })
    .await;
    let world = World::with().routes(&route(&stage)).table("[upstream]\nfirst_byte_timeout = \"200ms\"").start().await;
    let ticket = world.ticket().await;
    let late = ask(&world, &ticket, Method::DELETE, "").await;
    assert_eq!(late, (504, "upstream_first_byte_timeout".to_owned()));
    assert_eq!(get(&world, &ticket).await.0, 200);
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn an_app_that_does_not_speak_http2_is_a_502() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        line.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    assert_eq!(ask(&world, &ticket, Method::POST, "x").await, (502, "upstream_misbehaved".to_owned()));
}

#[tokio::test]
async fn an_app_that_closed_its_connection_is_connected_to_again() {
    let (listener, authority) = Ear::tcp().await;
    let stage = Stage::listen(Ear::Tcp(listener), authority, |wire, _| async move {
        let mut connection = h2::server::handshake(wire).await.unwrap();
        if let Some(Ok((_, reply))) = connection.accept().await {
            say(reply, "ok");
        }
        _ = tokio::time::timeout(Duration::from_millis(50), connection.accept()).await;
    });
    let (world, ticket) = world_of(&stage).await;
    for number in 1..=3 {
        assert_eq!(get(&world, &ticket).await, (200, "ok".to_owned()));
        until("the connection's end", || async { stage.connections() == number }).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
