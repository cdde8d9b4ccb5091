//! What is promised to clients of HTTP/2, with a client of `h2` at the other end of a pipe.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use h2::SendStream;
use h2::client::{self, ResponseFuture, SendRequest};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::header::{HeaderValue, LINK};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::*;
use crate::http::Remote;
use crate::http::interim::Sender;
use crate::http::tunnel::Promise;
use crate::http::{BodyError, Response, Shown, text};
use crate::server::Drain;
use crate::server::entry::Entry;
use crate::server::wire::{WRITE_TIMEOUT, Wire};

/// Longer than anything here takes, shorter than anybody's patience.
const EVER: Duration = Duration::from_secs(20);

/// What a pipe holds.
const ROOM: usize = 64 * 1024;

/// A connection that is served, and who speaks on it.
struct World {
    client: SendRequest<Bytes>,
    activity: Arc<Activity>,
    drain: Drain,
    tasks: TaskTracker,
    events: mpsc::UnboundedReceiver<Event>,
    served: JoinHandle<()>,
    spoken: JoinHandle<Result<(), h2::Error>>,
}

fn serve<H, F>(
    handler: H,
) -> (DuplexStream, Arc<Activity>, Drain, TaskTracker, mpsc::UnboundedReceiver<Event>, JoinHandle<()>)
where
    H: Fn(Request, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let (near, far) = tokio::io::duplex(ROOM);
    let (tell, events) = mpsc::unbounded_channel();
    let (drain, tasks, activity) = (Drain::new(), TaskTracker::new(), Arc::new(Activity::new()));
    let tell: Events = Arc::new(move |event| drop(tell.send(event)));
    // A handler that wants a map of the fields.
    let handler = move |arrival: Arrival, peer| handler(arrival.into_request(), peer);
    let shared = Shared::new(handler, None, Limits::default(), tell, drain.clone(), tasks.clone(), Entry::default());
    let peer = Peer::encrypted(Remote::Unix, Shown(0));
    let (shared, busy) = (Arc::new(shared), Arc::clone(&activity));
    let wire = Wire::new(near, WRITE_TIMEOUT, Arc::clone(&activity), None);
    let served = tokio::spawn(async move { speak_http2(&shared, wire, peer, busy).await });
    (far, activity, drain, tasks, events, served)
}

impl World {
    async fn of<H, F>(handler: H) -> Self
    where
        H: Fn(Request, Peer) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        Self::with(client::Builder::new(), handler).await
    }

    async fn with<H, F>(builder: client::Builder, handler: H) -> Self
    where
        H: Fn(Request, Peer) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let (far, activity, drain, tasks, events, served) = serve(handler);
        let (client, mut connection) = builder.handshake(far).await.unwrap();
        let knows_all = client.clone();
        let mut settled = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            _ if knows_all.is_extended_connect_protocol_enabled() => Poll::Ready(()),
            Poll::Ready(ended) => panic!("{ended:?}"),
            Poll::Pending => Poll::Pending,
        });
        in_time(&mut settled).await;
        Self { client, activity, drain, tasks, events, served, spoken: tokio::spawn(connection) }
    }

    /// One answer, to the first who asks.
    async fn once(answer: Response) -> Self {
        Self::of(once(answer)).await
    }

    /// Asks with these fields; without a body, the stream is closed already.
    fn ask(
        &mut self,
        method: Method,
        fields: &[(&'static str, &str)],
        is_whole: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut request = hyper::Request::builder().method(method).uri("https://wiki.example/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.client.send_request(request.body(()).unwrap(), is_whole).unwrap()
    }

    fn get(&mut self) -> ResponseFuture {
        self.ask(Method::GET, &[], true).0
    }

    /// Waits until every task of a stream is over.
    async fn quiet(&self) {
        self.tasks.close();
        in_time(self.tasks.wait()).await;
        assert!(self.activity.is_idle());
    }

    async fn event(&mut self, name: &str) {
        assert_eq!(in_time(self.events.recv()).await.unwrap().name(), name);
    }
}

fn once(answer: Response) -> impl Fn(Request, Peer) -> std::future::Ready<Response> + Clone {
    let answer = Arc::new(Mutex::new(Some(answer)));
    move |_, _| std::future::ready(answer.lock().unwrap().take().unwrap())
}

async fn until_idle(activity: &Activity) {
    in_time(async {
        while !activity.is_idle() {
            tokio::task::yield_now().await
        }
    })
    .await;
}

async fn until_busy(activity: &Activity) {
    in_time(async {
        while activity.is_idle() {
            tokio::task::yield_now().await
        }
    })
    .await;
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(EVER, future).await.expect("waited in vain")
}

/// What came before an answer so far; waits for the next.
async fn hint(answer: &mut ResponseFuture) -> hyper::Response<()> {
    in_time(poll_fn(|cx| answer.poll_informational(cx))).await.expect("another").unwrap()
}

/// An answer whole: what came before it, itself, its body, its trailers.
async fn whole(mut answer: ResponseFuture) -> (Vec<u16>, hyper::Response<()>, Result<Vec<u8>, h2::Error>) {
    let mut hints = Vec::new();
    while let Some(Ok(hint)) = in_time(poll_fn(|cx| answer.poll_informational(cx))).await {
        hints.push(hint.status().as_u16());
    }
    let (head, mut stream) = match in_time(answer).await {
        Ok(answer) => answer.into_parts(),
        // A reset overtakes a head that has not gone out.
        Err(error) => return (hints, hyper::Response::default(), Err(error)),
    };
    let mut body = Vec::new();
    let read = async {
        while let Some(data) = stream.data().await {
            let data = data?;
            stream.flow_control().release_capacity(data.len())?;
            body.extend_from_slice(&data);
        }
        stream.trailers().await
    };
    let ended = in_time(read).await;
    (hints, hyper::Response::from_parts(head, ()), ended.map(|_| body))
}

fn link(to: &str) -> HeaderMap {
    HeaderMap::from_iter([(LINK, HeaderValue::from_str(to).unwrap())])
}

/// A body of pieces that come through a channel; the far end going away is its end.
fn piecemeal() -> (mpsc::UnboundedSender<Result<Frame<Bytes>, BodyError>>, Body) {
    let (tell, told) = mpsc::unbounded_channel();
    let pieces = futures_util::stream::unfold(told, |mut told| async { Some((told.recv().await?, told)) });
    (tell, Body::streamed(StreamBody::new(Box::pin(pieces))))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
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

#[tokio::test]
async fn half_an_upload_is_never_a_whole_one() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut world = World::of(move |request: Request, _| {
        let tell = tell.clone();
        async move {
            let whole = tokio::spawn(async move { request.into_body().collect().await.is_ok() });
            tell.send(whole).unwrap();
            std::future::pending().await
        }
    })
    .await;
    for reason in [Reason::NO_ERROR, Reason::CANCEL] {
        let (_answer, mut upload) = world.ask(Method::POST, &[], false);
        upload.send_data("hel".into(), false).unwrap();
        let read = in_time(told.recv()).await.unwrap();
        upload.send_reset(reason);
        assert!(!in_time(read).await.unwrap(), "{reason}");
    }
    let (answer, mut upload) = world.ask(Method::POST, &[("content-length", "5")], false);
    upload.send_data("hel".into(), true).unwrap();
    assert!(!in_time(in_time(told.recv()).await.unwrap()).await.unwrap());
    assert_eq!(in_time(answer).await.unwrap_err().reason(), Some(Reason::PROTOCOL_ERROR));
    world.quiet().await;
}

#[tokio::test]
async fn an_upload_waits_until_it_is_read_and_trailers_pass_both_ways() {
    const LENGTH: usize = 4 * STREAM_WINDOW as usize;
    let go = Arc::new(Notify::new());
    let prompt = Arc::clone(&go);
    let mut world = World::of(move |request: Request, _| {
        let go = Arc::clone(&prompt);
        async move {
            go.notified().await;
            let body = request.into_body().collect().await.unwrap();
            let trailers = body.trailers().cloned().unwrap();
            let length = body.to_bytes().len().to_string();
            let frames = [Ok::<_, BodyError>(Frame::data(length.into())), Ok(Frame::trailers(trailers))];
            Response::new(Body::streamed(StreamBody::new(futures_util::stream::iter(frames))))
        }
    })
    .await;
    let (answer, mut upload) = world.ask(Method::POST, &[], false);
    let mut sent = 0;
    while sent < LENGTH {
        upload.reserve_capacity(LENGTH - sent);
        let room = match poll_fn(|cx| Poll::Ready(upload.poll_capacity(cx))).await {
            Poll::Ready(room) => room.unwrap().unwrap(),
            // The window is as much as may come unread.
            Poll::Pending if sent == STREAM_WINDOW as usize => {
                go.notify_one();
                in_time(poll_fn(|cx| upload.poll_capacity(cx))).await.unwrap().unwrap()
            }
            Poll::Pending => in_time(poll_fn(|cx| upload.poll_capacity(cx))).await.unwrap().unwrap(),
        };
        upload.send_data(vec![7; room].into(), false).unwrap();
        sent += room;
    }
    upload.send_trailers(link("trailer")).unwrap();
    let mut stream = in_time(answer).await.unwrap().into_body();
    assert_eq!(in_time(stream.data()).await.unwrap().unwrap(), LENGTH.to_string());
    assert!(in_time(stream.data()).await.is_none());
    assert_eq!(in_time(stream.trailers()).await.unwrap(), Some(link("trailer")));
}

#[tokio::test]
async fn an_answer_that_ends_first_ends_the_upload_without_an_error() {
    let mut world = World::of(|_, _| async { text(StatusCode::OK, "enough") }).await;
    let (answer, mut upload) = world.ask(Method::POST, &[], false);
    upload.send_data("more".into(), false).unwrap();
    assert_eq!(whole(answer).await.2.unwrap(), b"enough");
    assert_eq!(in_time(poll_fn(|cx| upload.poll_reset(cx))).await.unwrap(), Reason::NO_ERROR);
}

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
    builder.initial_window_size(10);
    let (tell, body) = piecemeal();
    let mut world = World::with(builder, once(Response::new(body))).await;
    let mut stream = in_time(world.get()).await.unwrap().into_body();
    // Longer than a client may take nothing, where there is something to take.
    tokio::time::sleep(WRITE_TIMEOUT + WRITE_TIMEOUT / 4).await;
    // Either piece takes longer than that as well, and comes bit by bit.
    for _ in 0..2 {
        tell.send(Ok(Frame::data(vec![7; 100].into()))).unwrap();
    }
    drop(tell);
    let mut taken = 0;
    while let Some(piece) = in_time(stream.data()).await {
        let length = piece.unwrap().len();
        taken += length;
        tokio::time::sleep(WRITE_TIMEOUT / 8).await;
        stream.flow_control().release_capacity(length).unwrap();
    }
    assert_eq!(taken, 200);
    assert!(world.events.try_recv().is_err());
}

#[tokio::test]
async fn a_client_that_resets_or_leaves_drops_its_handler() {
    struct Dropped(mpsc::UnboundedSender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut world = World::of(move |_, _| {
        let held = Dropped(tell.clone());
        async move {
            held.0.send(()).unwrap();
            std::future::pending().await
        }
    })
    .await;
    let (_answer, mut upload) = world.ask(Method::POST, &[], false);
    in_time(told.recv()).await.unwrap();
    upload.send_reset(Reason::CANCEL);
    in_time(told.recv()).await.unwrap();
    let _answer = world.get();
    in_time(told.recv()).await.unwrap();
    world.spoken.abort();
    in_time(told.recv()).await.unwrap();
    in_time(world.served).await.unwrap();
    until_idle(&world.activity).await;
}

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

#[tokio::test]
async fn a_client_that_greets_during_the_drain_is_told_to_leave() {
    let (mut far, _, drain, _, _, served) = serve(|_, _| async { Response::default() });
    let mut settings = [0; 9];
    in_time(far.read_exact(&mut settings)).await.unwrap();
    drain.begin();
    tokio::task::yield_now().await;
    far.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
    let (mut rest, mut all) = ([0; 512], settings.to_vec());
    const GOAWAY: u8 = 7;
    while !frames(&all).contains(&GOAWAY) {
        let length = in_time(far.read(&mut rest)).await.unwrap();
        assert!(length > 0, "it ended without a word: {all:?}");
        all.extend_from_slice(&rest[..length]);
    }
    drop(far);
    in_time(served).await.unwrap();
}

#[tokio::test]
async fn a_client_that_reads_nothing_at_all_loses_its_connection() {
    let (mut far, _, _, _, mut events, served) = serve(|_, _| async { Response::default() });
    far.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
    let asks = tokio::spawn(async move {
        // Each of them has an answer, and nobody takes it.
        let ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00pingpong";
        while far.write_all(ping).await.is_ok() {}
    });
    assert_eq!(in_time(events.recv()).await.unwrap().name(), "write_timeout");
    in_time(served).await.unwrap();
    in_time(asks).await.unwrap();
}

/// The types of the whole frames in these bytes.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let [one, two, three, kind, ..] = *bytes {
        types.push(kind);
        let length = 9 + u32::from_be_bytes([0, one, two, three]) as usize;
        bytes = bytes.get(length..).unwrap_or_default();
    }
    types
}
