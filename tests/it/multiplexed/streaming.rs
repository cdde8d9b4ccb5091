//! Bodies and trailers by HTTP/2, both ways at once.

use super::*;

#[tokio::test]
async fn bodies_pass_both_ways_and_keep_their_length() {
    let stage = plain(Builder::new(), |asked, mut reply, _| async move {
        let announced = asked.headers().get("content-length").cloned();
        let body = collect(asked.into_body()).await;
        let length = body.len().to_string();
        let response = Response::builder().header("content-length", &length).header("x-announced", announced.unwrap());
        let mut stream = reply.send_response(response.body(()).unwrap(), false).unwrap();
        stream.send_data(body, true).unwrap();
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let body = "0123456789".repeat(30_000);
    let reply = world.browser().fetch(Method::POST, world.at("/"), &[("cookie", &ticket)], body.clone()).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, body.len()));
    assert_eq!(reply.header("content-length"), Some("300000"));
    assert_eq!(reply.header("x-announced"), Some("300000"));
}

async fn collect(mut stream: RecvStream) -> Bytes {
    let mut all = Vec::new();
    while let Some(Ok(data)) = stream.data().await {
        _ = stream.flow_control().release_capacity(data.len());
        all.extend_from_slice(&data);
    }
    all.into()
}

/// A body that is fed piece by piece.
fn fed() -> (mpsc::UnboundedSender<Frame<Bytes>>, BoxBody<Bytes, std::convert::Infallible>) {
    let (feed, mut pieces) = mpsc::unbounded_channel();
    let pieces = futures_util::stream::poll_fn(move |cx| pieces.poll_recv(cx).map(|piece| piece.map(Ok)));
    (feed, StreamBody::new(pieces).boxed())
}

fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert(name, value.parse().unwrap());
    map
}

#[tokio::test]
async fn both_directions_stream_at_once_and_end_with_trailers() {
    let stage = plain(Builder::new(), |asked, mut reply, _| async move {
        let mut body = asked.into_body();
        let mut stream = reply.send_response(Response::new(()), false).unwrap();
        while let Some(Ok(data)) = body.data().await {
            _ = body.flow_control().release_capacity(data.len());
            stream.send_data(data, false).unwrap();
        }
        let sent = body.trailers().await.unwrap().unwrap();
        assert_eq!(sent["x-sent"], "1");
        assert!(!sent.contains_key("x-salesforce-user-id"), "trailers are never identity");
        stream.send_trailers(trailers("grpc-status", "0")).unwrap();
    })
    .await;
    let world = World::with().tls().routes(&route(&stage)).start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_http2(&world).await;
    let (feed, body) = fed();
    let request = Request::post(world.at("/")).header("cookie", &ticket).header("te", "trailers").body(body).unwrap();
    let mut answer = soon("an answer", sender.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), 200);
    for word in ["one", "two", "three"] {
        feed.send(Frame::data(Bytes::from(word))).unwrap();
        let frame = soon("an echo", answer.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), word);
    }
    let mut last = trailers("x-sent", "1");
    last.insert("x-salesforce-user-id", "evil".parse().unwrap());
    feed.send(Frame::trailers(last)).unwrap();
    drop(feed);
    let last = soon("trailers", answer.frame()).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(last["grpc-status"], "0");
}

#[tokio::test]
async fn an_answer_of_a_head_alone_ends_at_its_head() {
    let stage = plain(Builder::new(), |_, mut reply, _| async move {
        let response = Response::builder().header("grpc-status", "5").header("content-type", "application/grpc");
        reply.send_response(response.body(()).unwrap(), true).unwrap();
    })
    .await;
    let world = World::with().tls().routes(&route(&stage)).start().await;
    let ticket = world.ticket().await;
    let mut sender = speak_http2(&world).await;
    let request = Request::post(world.at("/")).header("cookie", &ticket).body(Full::<Bytes>::from("x")).unwrap();
    let answer = soon("an answer", sender.send_request(request)).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "5");
    assert!(hyper::body::Body::is_end_stream(answer.body()), "no frame comes after the head");
}

#[tokio::test]
async fn somebody_who_reads_nothing_holds_up_nobody() {
    let stage = plain(Builder::new(), |asked, mut reply, _| async move {
        if asked.uri().path() == "/small" {
            return say(reply, "ok");
        }
        let mut stream = reply.send_response(Response::new(()), false).unwrap();
        loop {
            stream.reserve_capacity(65_536);
            if std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.is_none_or(|grown| grown.is_err()) {
                return;
            }
            let piece = Bytes::from(vec![b'x'; stream.capacity()]);
            if stream.send_data(piece, false).is_err() {
                return;
            }
        }
    })
    .await;
    let (world, ticket) = world_of(&stage).await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut line = Line::to(world.authority()).await;
        line.send(format!("GET /endless HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n\r\n", world.authority())).await;
        assert!(line.head().await.is_some());
        slow.push(line);
    }
    for _ in 0..5 {
        let reply =
            soon("a small answer", world.browser().fetch(Method::GET, world.at("/small"), &[("cookie", &ticket)], ""))
                .await;
        assert_eq!(reply.body, "ok");
    }
    assert_eq!(stage.connections(), 1);
}
