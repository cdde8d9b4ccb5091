//! An app that is not there, or not well.

use super::*;

#[tokio::test]
async fn an_app_that_is_down_is_a_502() {
    let world =
        World::with().routes(&format!("[[route]]\nupstream = \"http://127.0.0.1:{}\"", free_port())).start().await;
    let ticket = world.ticket().await;
    assert_eq!(ask(&world, &ticket, hyper::Method::GET).await, (502, "upstream_unreachable".to_owned()));
}

#[tokio::test]
async fn an_app_that_does_not_answer_is_a_504() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.rest().await;
    })
    .await;
    let world = World::with().routes(&stage.route()).table("[upstream]\nfirst_byte_timeout = \"200ms\"").start().await;
    let ticket = world.ticket().await;
    let patience = soon("a page", ask(&world, &ticket, hyper::Method::GET)).await;
    assert_eq!(patience, (504, "upstream_first_byte_timeout".to_owned()));
}

#[tokio::test]
async fn an_app_that_does_not_accept_is_a_504() {
    // A listener whose queue is full drops whoever knocks.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    let routes = format!("[[route]]\nupstream = \"http://{address}\"");
    let world = World::with().routes(&routes).table("[upstream]\nconnect_timeout = \"200ms\"").start().await;
    let ticket = world.ticket().await;
    let answer = soon("a page", ask(&world, &ticket, hyper::Method::GET)).await;
    assert_eq!(answer, (504, "upstream_connect_timeout".to_owned()));
}

#[tokio::test]
async fn an_app_that_answers_nonsense_is_a_502() {
    for nonsense in
        ["", "SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 banana\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"]
    {
        let stage = Stage::play(move |mut line: Line, _| async move {
            line.head().await;
            line.send(nonsense).await;
        })
        .await;
        let (world, ticket) = world_of(&stage).await;
        let answer = ask(&world, &ticket, hyper::Method::GET).await;
        assert_eq!(answer, (502, "upstream_misbehaved".to_owned()), "{nonsense:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_made_whole() {
    for (start, whole) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", "hellohello"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "0\r\n\r\n"),
    ] {
        let stage = Stage::play(move |mut line: Line, _| async move {
            line.head().await;
            line.send(start).await;
        })
        .await;
        let (world, ticket) = world_of(&stage).await;
        let mut line = Line::to(world.authority()).await;
        line.send(head(&world, &ticket, "GET /", "")).await;
        assert!(line.head().await.unwrap().starts_with("http/1.1 200 "));
        let body = String::from_utf8(line.rest().await).unwrap();
        assert!(body.contains("hello") && !body.ends_with(whole), "{body:?}");
    }
}

#[tokio::test]
async fn an_answer_that_stalls_is_broken_off() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        line.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
        line.rest().await;
    })
    .await;
    let world = World::with().routes(&stage.route()).table("[upstream]\nidle_timeout = \"200ms\"").start().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "GET /", "")).await;
    assert_eq!(length(&line.head().await.unwrap()), 10);
    assert_eq!(line.rest().await, b"hello");
}

#[tokio::test]
async fn a_full_app_is_a_503_and_nobody_queues() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        line.rest().await;
    })
    .await;
    let world = World::with().routes(&stage.route()).table("[upstream]\nconnections = 1").start().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "GET /", "")).await;
    crate::stage::until("the app's first connection", || async { stage.connections() == 1 }).await;
    assert_eq!(ask(&world, &ticket, hyper::Method::GET).await, (503, "upstream_busy".to_owned()));
    assert_eq!(stage.connections(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_app_usable() {
    let stage = Stage::play(|mut line: Line, number| async move {
        line.head().await;
        if number == 0 {
            line.rest().await;
        }
        line.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    let world = World::with().routes(&stage.route()).table("[upstream]\nconnections = 1").start().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    line.send(head(&world, &ticket, "GET /", "")).await;
    crate::stage::until("the app's first connection", || async { stage.connections() == 1 }).await;
    drop(line);
    crate::stage::until("a free place", || async { ask(&world, &ticket, hyper::Method::GET).await.0 == 200 }).await;
}
