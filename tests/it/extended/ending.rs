//! How tunnels over HTTP/2 end, and what ends with them.

use super::*;

#[tokio::test]
async fn each_side_closes_its_half_when_it_likes() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().tls().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    // The app first.
    let (answer, mut sender) = asked(&world, &ticket).await;
    let mut stream = TokioIo::new(soon("the tunnel", hyper::upgrade::on(answer)).await.unwrap());
    let mut app = soon("a tunnel", told.recv()).await.unwrap();
    app.to_client.send_data(Bytes::from("bye"), true).unwrap();
    let mut heard = Vec::new();
    soon("its end", tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut heard)).await.unwrap();
    assert_eq!(heard, b"bye");
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"and you").await.unwrap();
    assert_eq!(app.data().await.unwrap(), "and you");
    tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
    assert!(app.data().await.is_none(), "END_STREAM");
    // The client first.
    let lines = [("cookie", ticket.as_str())];
    let answer = connect(&mut sender, world.at("/chat"), "websocket", &lines).await;
    let mut stream = TokioIo::new(soon("the tunnel", hyper::upgrade::on(answer)).await.unwrap());
    let mut app = soon("a tunnel", told.recv()).await.unwrap();
    tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
    assert!(app.data().await.is_none(), "END_STREAM");
    app.to_client.send_data(Bytes::from("goodbye"), true).unwrap();
    let mut heard = Vec::new();
    soon("its end", tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut heard)).await.unwrap();
    assert_eq!(heard, b"goodbye");
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn an_app_that_resets_its_stream_ends_the_clients_connection_alone() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    let (mut line, mut other) = (opened(&world, &ticket).await, opened(&world, &ticket).await);
    let (mut app, mut its) = (told.recv().await.unwrap(), told.recv().await.unwrap());
    app.to_client.send_reset(Reason::INTERNAL_ERROR);
    assert_eq!(line.rest().await, b"");
    its.say("still here");
    assert_eq!(other.take(10).await, b"still here");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_stream_alone() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().tls().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    let (answer, _sender) = asked(&world, &ticket).await;
    let tunnel = hyper::upgrade::on(answer).await.unwrap();
    let mut app = told.recv().await.unwrap();
    let (answer, _other) = asked(&world, &ticket).await;
    let mut second = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    let mut its = told.recv().await.unwrap();
    drop(tunnel);
    assert!(app.data().await.is_none(), "END_STREAM");
    its.say("hello");
    let mut heard = [0; 5];
    soon("a word", tokio::io::AsyncReadExt::read_exact(&mut second, &mut heard)).await.unwrap();
    // Whoever talks to nobody is told so.
    until("a reset", || {
        _ = app.to_client.send_data(Bytes::from_static(b"anybody?"), false);
        let reset = std::future::poll_fn(|cx| std::task::Poll::Ready(app.to_client.poll_reset(cx).is_ready()));
        let ended = futures_util::FutureExt::now_or_never(reset);
        async move { ended == Some(true) }
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_over_http2_ends_at_the_sign_out_of_its_person_alone() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let (mine, theirs) = (world.ticket().await, world.ticket().await);
    let mut line = opened(&world, &mine).await;
    let mut app = told.recv().await.unwrap();
    let mut other = opened(&world, &theirs).await;
    let mut its = told.recv().await.unwrap();
    sign_out(&world, &mine).await;
    assert_eq!(line.rest().await, b"");
    assert_eq!(app.reset().await, Reason::CANCEL);
    its.say("still here");
    assert_eq!(other.take(10).await, b"still here");
}

#[tokio::test]
async fn a_tunnel_over_http2_ends_at_its_sessions_latest_end() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).table("[session]\nlifetime = \"3s\"").start().await;
    let mut line = opened(&world, &world.ticket().await).await;
    let mut app = told.recv().await.unwrap();
    assert_eq!(line.rest().await, b"");
    assert_eq!(app.reset().await, Reason::CANCEL);
}

#[tokio::test]
async fn a_silent_tunnel_over_http2_ends_and_whoever_talks_stays() {
    let (stage, mut told) = agreeing().await;
    let limit = "[upstream]\ntunnel_idle_timeout = \"1s\"";
    let world = World::with().routes(&routes(&stage)).table(limit).start().await;
    let mut line = opened(&world, &world.ticket().await).await;
    let mut app = told.recv().await.unwrap();
    for turn in 0..4 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        if turn % 2 == 0 {
            line.send("awake").await;
            assert_eq!(app.data().await.unwrap(), "awake");
        } else {
            app.say("awake");
            assert_eq!(line.take(5).await, b"awake");
        }
    }
    assert_eq!(line.rest().await, b"");
    assert_eq!(app.reset().await, Reason::CANCEL);
}

#[tokio::test]
async fn a_tunnel_over_http2_is_cut_at_the_shutdowns_deadline() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let mut line = opened(&world, &world.ticket().await).await;
    let mut app = told.recv().await.unwrap();
    let began = Instant::now();
    let shutdown = tokio::spawn(world.gateway.shutdown());
    app.say("while it drains");
    assert_eq!(line.take(15).await, b"while it drains");
    assert_eq!(line.rest().await, b"");
    soon("the shutdown", shutdown).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "it waits for two seconds, and not for ever");
    drop(stage);
}

#[tokio::test]
async fn a_goaway_leaves_the_tunnel_and_new_requests_go_elsewhere() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let (listener, authority) = Ear::tcp().await;
    let stage = Stage::listen(Ear::Tcp(listener), authority, move |wire, _| {
        let tell = tell.clone();
        async move {
            let mut connection = willing().handshake::<_, Bytes>(wire).await.unwrap();
            while let Some(Ok((asked, mut reply))) = connection.accept().await {
                let to_client = reply.send_response(Response::new(()), false).unwrap();
                tell.send(Opened { from_client: asked.into_body(), to_client }).unwrap_or_default();
                connection.graceful_shutdown();
            }
        }
    });
    let world = World::with().routes(&routes(&stage)).start().await;
    let ticket = world.ticket().await;
    let mut line = opened(&world, &ticket).await;
    let mut app = told.recv().await.unwrap();
    // It may take a request more before the app's word is here.
    while stage.connections() == 1 {
        let mut next = opened(&world, &ticket).await;
        let mut its = soon("a tunnel", told.recv()).await.unwrap();
        its.say("new");
        assert_eq!(next.take(3).await, b"new");
    }
    line.send("still here").await;
    assert_eq!(app.data().await.unwrap(), "still here");
    app.say("and well");
    assert_eq!(line.take(8).await, b"and well");
}

#[tokio::test]
async fn an_app_that_goes_down_ends_its_tunnels() {
    let (stage, mut told) = agreeing().await;
    let world = World::with().routes(&routes(&stage)).start().await;
    let mut line = opened(&world, &world.ticket().await).await;
    let app = told.recv().await.unwrap();
    drop((stage, app));
    assert_eq!(line.rest().await, b"");
}
