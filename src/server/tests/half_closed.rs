//! Clients that end their side of a connection before they have their answer: they get it, unless they are gone.

use std::task::Poll;

use super::*;
use crate::http::interim::Sender;

const PLAIN: &str = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
/// What goes to hyper.
const OTHERS: [&str; 3] = [
    "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nstuff",
    "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nstuff\r\n0\r\n\r\n",
    "GET /1 HTTP/1.0\r\nHost: a\r\n\r\n",
];

fn requests() -> impl Iterator<Item = &'static str> {
    [PLAIN].into_iter().chain(OTHERS)
}

/// Waits until the client is known to have ended its side: the door has to give the handler a turn for it.
async fn ended(client: &Sender) {
    std::future::poll_fn(|_| if client.has_ended() { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Tells when it is dropped.
struct Told(mpsc::UnboundedSender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

/// A door whose handler reads all of a request, says so, and answers when its client has ended its side, or never.
fn patient(tls: Option<Arc<Tls>>, answers: bool) -> (World, mpsc::UnboundedReceiver<&'static str>) {
    let (tell, told) = mpsc::unbounded_channel();
    let world = World::open(Limits::default(), tls, move |request, peer| {
        let told = Told(tell.clone());
        async move {
            let path = request.uri().path().to_owned();
            request.into_body().collect().await.unwrap();
            told.0.send("asked").unwrap();
            ended(&peer.interim.unwrap()).await;
            told.0.send("ended").unwrap();
            if !answers {
                std::future::pending::<()>().await;
            }
            text(StatusCode::OK, path)
        }
    });
    (world, told)
}

fn is_whole(answer: &str, request: &str) {
    assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.0 200 "), "{request}: {answer}");
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("\r\n\r\n/1"), "{request}: {answer}");
}

#[tokio::test]
async fn a_client_that_ends_its_side_behind_its_request_gets_the_answer() {
    let (mut world, _told) = patient(None, true);
    for request in requests() {
        let mut client = world.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        is_whole(&read_all(&mut client).await, request);
        world.event("closed").await;
    }
}

#[tokio::test]
async fn a_client_that_ends_its_side_while_it_waits_gets_the_answer() {
    let (mut world, mut told) = patient(None, true);
    for request in requests() {
        let mut client = world.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(in_time(told.recv()).await, Some("asked"));
        client.shutdown().await.unwrap();
        is_whole(&read_all(&mut client).await, request);
        while told.recv().await != Some("dropped") {}
        world.event("closed").await;
    }
}

#[tokio::test]
async fn a_client_of_tls_that_says_goodbye_gets_the_answer() {
    let (tls, connector) = certified(&[b"http/1.1"]);
    let (mut world, _told) = patient(Some(tls), true);
    for request in requests() {
        let mut client = connect_tls(&world, &connector).await;
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        is_whole(&read_all(&mut client).await, request);
        world.event("closed").await;
    }
}

#[tokio::test]
async fn a_client_of_tls_that_just_ends_is_gone() {
    let (tls, connector) = certified(&[b"http/1.1"]);
    let (mut world, mut told) = patient(Some(tls), true);
    for request in requests() {
        let mut client = connect_tls(&world, &connector).await;
        client.write_all(request.as_bytes()).await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(in_time(told.recv()).await, Some("asked"));
        let (mut socket, _tls) = client.into_inner();
        socket.shutdown().await.unwrap();
        assert_eq!(in_time(told.recv()).await, Some("dropped"), "{request}");
        world.event("closed").await;
    }
}

#[tokio::test]
async fn requests_in_a_row_are_all_answered_to_a_client_that_sends_no_more() {
    for tls in [false, true] {
        let (tls, connector) = if tls { Some(certified(&[b"http/1.1"])).unzip() } else { (None, None) };
        let world = World::open(Limits::default(), tls, |request, peer| async move {
            let path = request.uri().path().to_owned();
            if path == "/last" {
                ended(&peer.interim.unwrap()).await;
            } else {
                tokio::task::yield_now().await;
            }
            text(StatusCode::OK, path)
        });
        let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let posted = "POST /posted HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nstuff";
        for row in [one("/first") + &one("/last"), one("/first") + posted + &one("/last")] {
            let socket = world.connect().await;
            let mut client: Box<dyn Both> = match &connector {
                Some(connector) => {
                    Box::new(connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap())
                }
                None => Box::new(socket),
            };
            client.write_all(row.as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
            let all = read_all(&mut client).await;
            assert_eq!(all.matches("HTTP/1.1 200 ").count(), row.matches(" HTTP/1.1").count(), "{all}");
            assert!(all.ends_with("\r\n\r\n/last") && all.matches("connection: close").count() == 1, "{all}");
        }
    }
}

trait Both: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Both for S {}

#[tokio::test]
async fn a_client_that_resets_is_gone_whether_it_had_ended_its_side_or_not() {
    let (tls, connector) = certified(&[b"http/1.1"]);
    for (tls, ends) in [(None, false), (None, true), (Some(Arc::clone(&tls)), false), (Some(tls), true)] {
        let encrypted = tls.is_some();
        let (mut world, mut told) = patient(tls, false);
        for request in requests() {
            let mut client: Box<dyn Both> = {
                let socket = world.connect().await;
                socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
                match encrypted {
                    true => {
                        let name = ServerName::try_from("localhost").unwrap();
                        Box::new(connector.connect(name, socket).await.unwrap())
                    }
                    false => Box::new(socket),
                }
            };
            client.write_all(request.as_bytes()).await.unwrap();
            client.flush().await.unwrap();
            assert_eq!(in_time(told.recv()).await, Some("asked"));
            if ends {
                client.shutdown().await.unwrap();
                assert_eq!(in_time(told.recv()).await, Some("ended"), "{request}");
            }
            drop(client);
            assert_eq!(in_time(told.recv()).await, Some("dropped"), "{request}");
            world.event("closed").await;
        }
    }
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_broken_off() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut world = World::open(Limits::default(), None, move |request: Request, _| {
        let tell = tell.clone();
        async move {
            tell.send(request.into_body().collect().await.is_err()).unwrap();
            text(StatusCode::BAD_REQUEST, "broken")
        }
    });
    for (head, half) in [("Content-Length: 9", "half"), ("Transfer-Encoding: chunked", "9\r\nhalf")] {
        let mut client = world.connect().await;
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{half}");
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(in_time(told.recv()).await, Some(true), "{head}");
        let answer = read_all(&mut client).await;
        assert!(!answer.contains(" 200 "), "{answer}");
        world.event("closed").await;
    }
}

#[tokio::test]
async fn half_a_head_is_no_request() {
    let mut world = World::open(Limits::default(), None, hello);
    let mut client = world.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await, "");
    world.event("closed").await;
}

/// A body of small pieces, one every few milliseconds, for ever or for so many.
fn pieces(count: usize) -> Body {
    let pieces = futures_util::stream::unfold(count, |left| async move {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let frame = http_body::Frame::data(bytes::Bytes::from_static(b"piece"));
        (left > 0).then(|| (Ok(frame), left - 1))
    });
    Body::streamed(http_body_util::StreamBody::new(Box::pin(pieces)))
}

#[tokio::test]
async fn an_answer_that_streams_goes_on_while_its_client_takes_it_and_no_longer() {
    let world = World::open(Limits::default(), None, |_, _| async { Response::new(pieces(50)) });
    for request in requests() {
        let mut client = world.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut client, "piece").await;
        client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut client).await.matches("piece").count(), 49, "{request}");
    }
    let mut world = World::open(Limits::default(), None, |_, _| async { Response::new(pieces(usize::MAX)) });
    for request in requests() {
        let mut client = world.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut client, "piece").await;
        drop(client);
        world.event("closed").await;
    }
}

#[tokio::test]
async fn an_app_to_which_the_client_is_gone_gives_it_nothing() {
    let mut world = World::open(Limits::default(), None, |request, peer| async move {
        request.into_body().collect().await.unwrap();
        ended(&peer.interim.unwrap()).await;
        Reply::unsaid().into_response()
    });
    for request in requests() {
        let mut client = world.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut client).await, "", "{request}");
        world.event("closed").await;
    }
    // Whoever is still there is told something.
    let world = World::open(Limits::default(), None, |_, _| async { Reply::unsaid().into_response() });
    for request in requests() {
        let mut client = world.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        assert!(read_until(&mut client, "\r\n\r\n").await.contains(" 502 "), "{request}");
    }
}
