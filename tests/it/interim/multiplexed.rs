//! To clients of HTTP/2.

use super::*;

/// A connection of HTTP/2 to a world behind TLS.
async fn speak_h2(world: &World) -> SendRequest<Bytes> {
    let (sender, connection) = h2::client::handshake(secured(world, b"h2").await).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn ask(
    sender: &mut SendRequest<Bytes>,
    request: http::request::Builder,
    is_whole: bool,
) -> (ResponseFuture, SendStream<Bytes>) {
    sender.send_request(request.body(()).unwrap(), is_whole).unwrap()
}

/// What comes before an answer, and its status and body.
async fn answer_of(mut answer: ResponseFuture) -> (Vec<Response<()>>, StatusCode, Vec<u8>) {
    let mut hints = Vec::new();
    while let Some(hint) = soon("a head", poll_fn(|cx| answer.poll_informational(cx))).await {
        hints.push(hint.unwrap());
    }
    let (head, mut stream) = soon("the answer", answer).await.unwrap().into_parts();
    assert!(!head.headers.contains_key("link"), "{:?}", head.headers);
    let mut body = Vec::new();
    while let Some(data) = soon("the body", stream.data()).await {
        let data = data.unwrap();
        stream.flow_control().release_capacity(data.len()).unwrap();
        body.extend_from_slice(&data);
    }
    (hints, head.status, body)
}

fn statuses(hints: &[Response<()>]) -> Vec<u16> {
    hints.iter().map(|hint| hint.status().as_u16()).collect()
}

/// Three requests are hinted at on one connection before any of them is answered; the apps go on together.
async fn hints_come_early_over_h2(route: &str, gate: &Barrier) {
    let world = World::with().tls().routes(route).start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_h2(&world).await;
    let request = || Request::get(world.at("/")).header("cookie", &ticket);
    let mut answers: Vec<_> = (0..3).map(|_| ask(&mut sender, request(), true).0).collect();
    for name in ["a", "b"] {
        for answer in &mut answers {
            let hint = soon("a hint", poll_fn(|cx| answer.poll_informational(cx))).await.unwrap().unwrap();
            assert_eq!((hint.status().as_u16(), hint.headers().len()), (103, 1), "{hint:?}");
            assert_eq!(hint.headers()["link"], format!("</{name}.css>; rel=preload").as_str());
        }
        soon("the apps' turn", gate.wait()).await;
    }
    for answer in answers {
        let (hints, status, body) = answer_of(answer).await;
        assert_eq!((hints.len(), status, body.as_slice()), (0, StatusCode::OK, &b"ok"[..]));
    }
}

#[tokio::test]
async fn hints_arrive_over_http2_from_an_app_of_http1() {
    let gate = Arc::new(Barrier::new(4));
    let shared = Arc::clone(&gate);
    let stage = Stage::play(move |mut line: Line, _| {
        let gate = Arc::clone(&shared);
        async move {
            while line.head().await.is_some() {
                for name in ["a", "b"] {
                    line.send(format!("HTTP/1.1 103 Early Hints\r\nLink: </{name}.css>; rel=preload\r\n\r\n")).await;
                    gate.wait().await;
                }
                line.send(OK).await;
            }
        }
    })
    .await;
    hints_come_early_over_h2(&stage.route(), &gate).await;
}

#[tokio::test]
async fn hints_arrive_over_http2_from_an_app_of_http2() {
    let gate = Arc::new(Barrier::new(4));
    let shared = Arc::clone(&gate);
    let stage = plain(Builder::new(), move |_, mut reply, _| {
        let gate = Arc::clone(&shared);
        async move {
            for name in ["a", "b"] {
                let hint = Response::builder().status(103).header("link", format!("</{name}.css>; rel=preload"));
                reply.send_informational(hint.body(()).unwrap()).unwrap();
                gate.wait().await;
            }
            let mut stream = reply.send_response(Response::new(()), false).unwrap();
            stream.send_data("ok".into(), true).unwrap();
        }
    })
    .await;
    hints_come_early_over_h2(&format!("[[route]]\nupstream = \"h2c://{}\"\n", stage.authority), &gate).await;
}

#[tokio::test]
async fn a_client_of_http2_is_told_as_one_of_http1_is() {
    let fields = "connection: x-hop, close\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\ncontent-length: 0\r\nx: y\r\n\
        set-cookie: __Host-portcullis=mine\r\nset-cookie: portcullis=mine\r\nset-cookie: other=1\r\n";
    let interim =
        format!("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n{fields}\r\nHTTP/1.1 199 Own\r\n\r\n");
    let stage = parrot(format!("HTTP/1.1 100 Continue\r\n\r\n{interim}{OK}")).await;
    let world = World::with().tls().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_h2(&world).await;
    for method in ["GET", "HEAD", "POST"] {
        let request = Request::builder().method(method).uri(world.at("/")).header("cookie", &ticket);
        // in one piece with its answer, which comes behind it all the same
        let (hints, status, _) = answer_of(ask(&mut sender, request, true).0).await;
        assert_eq!((statuses(&hints), status), (vec![102, 103, 199], StatusCode::OK), "{method}: and no 100");
        let names: Vec<_> = hints[1].headers().keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["x", "set-cookie"], "{method}");
        assert_eq!(hints[1].headers()["set-cookie"], "other=1");
    }
    let stranger = Request::get(world.at("/"));
    let (hints, status, _) = answer_of(ask(&mut sender, stranger, true).0).await;
    assert_eq!((hints.len(), status), (0, StatusCode::UNAUTHORIZED), "who is not signed in is told nothing");
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_reaches_no_client_of_http2() {
    let stage =
        parrot("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n".to_owned()).await;
    let world = World::with().tls().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_h2(&world).await;
    let request = Request::get(world.at("/")).header("cookie", &ticket);
    let (hints, status, _) = answer_of(ask(&mut sender, request, true).0).await;
    assert_eq!((hints.len(), status), (0, StatusCode::BAD_GATEWAY));
}

#[tokio::test]
async fn a_client_of_http2_that_expects_a_100_gets_it_when_the_app_is_to_have_the_body() {
    let stage = Stage::play(|mut line: Line, _| async move {
        while let Some(head) = line.head().await {
            assert_eq!(field(&head, "expect"), None);
            line.take(length(&head)).await;
            line.send(OK).await;
        }
    })
    .await;
    let world = World::with().tls().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_h2(&world).await;
    let request = || Request::post(world.at("/")).header("expect", "100-continue").header("content-length", "5");
    let (mut answer, mut upload) = ask(&mut sender, request().header("cookie", &ticket), false);
    let go_on = soon("a 100", poll_fn(|cx| answer.poll_informational(cx))).await.unwrap().unwrap();
    assert_eq!((go_on.status(), go_on.headers().len()), (StatusCode::CONTINUE, 0));
    upload.send_data("hello".into(), true).unwrap();
    let (hints, status, body) = answer_of(answer).await;
    assert_eq!((hints.len(), status, body.as_slice()), (0, StatusCode::OK, &b"ok"[..]));
    let (answer, _upload) = ask(&mut sender, request(), false);
    let (hints, status, _) = answer_of(answer).await;
    assert_eq!((hints.len(), status), (0, StatusCode::UNAUTHORIZED), "a refused upload is not asked for");
}
