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

mod answer;
mod interim;
mod tunnel;

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
