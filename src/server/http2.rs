//! HTTP/2 on one connection: hyper with our limits, and beside it the things that hyper does not do.
//!
//! Those are age, idling, drain and deadline. Called by `server::connection`.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::connection::{Shared, jittered};
use super::event::{Event, Events};
use super::quiet::Quiet;
use super::service::{BUFFER, Service, report};
use super::signal::{Signal, Stage, next_signal};
use super::streams::{Activity, Streams};
use super::wire::WRITE_TIMEOUT;
use crate::http::{Arrival, Peer, Reply};

/// What a client may send of one HTTP/2 request body before the handler reads it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for a whole connection: more than one stream's, or a single stalled upload would block all.
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// How long a client may take to leave after it was told that its idle HTTP/2 connection ends.
const GOODBYE: Duration = Duration::from_secs(5);

/// Speaks it until the connection ends.
pub(super) async fn speak_http2<H, F, S>(shared: &Arc<Shared<H>>, stream: S, peer: Peer, activity: Arc<Activity>)
where
    H: Fn(Arrival, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output: Into<Reply>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &shared.limits;
    // hyper's own limits on resets (CVE-2023-44487 and its kin) stay as they are.
    let on_stall = {
        let events = Events::clone(&shared.events);
        Arc::new(move || events(Event::WriteTimeout { peer: peer.remote }))
    };
    let streams = Streams::new(Arc::clone(&activity), shared.tasks.clone(), WRITE_TIMEOUT, on_stall);
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        // RFC 8441: a WebSocket is one of those streams.
        .enable_connect_protocol()
        .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(BUFFER);
    // hyper's HTTP/2 server has no way to send an interim answer.
    let service =
        Service { shared: Arc::clone(shared), peer: peer.clone(), activity: Arc::clone(&activity), outlet: None };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));

    let mut stage = Stage {
        old: Some(Instant::now() + jittered(limits.connection_age, &peer)),
        idle: Some(limits.h2_idle_timeout),
        open: true,
    };
    let mut signal = pin!(next_signal(&shared.drain, &activity, stage));
    let mut signal = Quiet::new(signal.as_mut());
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return report(&shared.events, peer.remote, ended),
            signal_given = &mut signal => {
                match signal_given {
                    Signal::Cut => return (shared.events)(Event::Cut { peer: peer.remote }),
                    // It was asked to leave before and has nothing open: a client that does not answer stays no longer.
                    Signal::Idle if !stage.open => return,
                    Signal::Idle => (shared.events)(Event::IdleTimeout { peer: peer.remote }),
                    Signal::Old => (shared.events)(Event::TooOld { peer: peer.remote }),
                    Signal::Drain => {}
                }
                connection.as_mut().graceful_shutdown();
                stage = Stage { old: None, idle: Some(limits.h2_idle_timeout.min(GOODBYE)), open: false };
                signal.set(next_signal(&shared.drain, &activity, stage));
            }
        }
    }
}
